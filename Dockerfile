# All three programs in one image without a shell. They run as user 65532 (nonroot). Keep the version of the compiler equal to
# rust-toolchain.toml. That file is not in the image (.dockerignore), because it installs components that only development needs.
FROM rust:1.95.0-bookworm AS build
WORKDIR /src
COPY . .
RUN cargo build --profile dist --locked --workspace --bins \
    && mkdir /programs \
    && strip --strip-debug -o /programs/holdfast target/dist/holdfast \
    && strip --strip-debug -o /programs/holdfast-ingress target/dist/holdfast-ingress \
    && strip --strip-debug -o /programs/holdfast-workers target/dist/holdfast-workers

# Contains glibc and the certificates of public CAs, from the same Debian release as the build image.
FROM gcr.io/distroless/cc-debian12:nonroot
COPY --from=build /programs/ /usr/local/bin/
EXPOSE 8080
HEALTHCHECK --interval=10s --timeout=6s CMD ["/usr/local/bin/holdfast", "health"]
CMD ["/usr/local/bin/holdfast-ingress"]
