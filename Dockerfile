# All three programs in one image without a shell; its user is nobody (65532). The compiler's version is that of
# rust-toolchain.toml, which stays outside (.dockerignore): it also asks for components that only development needs.
FROM rust:1.95.0-bookworm AS build
WORKDIR /src
COPY . .
RUN cargo build --profile dist --locked --workspace --bins \
    && mkdir /programs \
    && strip --strip-debug -o /programs/holdfast target/dist/holdfast \
    && strip --strip-debug -o /programs/holdfast-ingress target/dist/holdfast-ingress \
    && strip --strip-debug -o /programs/holdfast-workers target/dist/holdfast-workers

# glibc and the certificates of public CAs, of the same Debian.
FROM gcr.io/distroless/cc-debian12:nonroot
COPY --from=build /programs/ /usr/local/bin/
EXPOSE 8080
HEALTHCHECK --interval=10s --timeout=6s CMD ["/usr/local/bin/holdfast", "health"]
CMD ["/usr/local/bin/holdfast-ingress"]
