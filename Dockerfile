# All three programs in one image. The compiler's version is that of rust-toolchain.toml, which stays outside
# (.dockerignore): it also asks for components that only development needs.
FROM rust:1.95.0-bookworm AS build
WORKDIR /src
COPY . .
RUN cargo build --release --locked --workspace --bins

FROM debian:bookworm-slim
# The health check needs curl, refund requests over TLS the certificates.
RUN apt-get update \
    && apt-get install -y --no-install-recommends ca-certificates curl \
    && rm -rf /var/lib/apt/lists/* \
    && useradd --system --uid 10001 holdfast
COPY --from=build /src/target/release/holdfast /src/target/release/holdfast-ingress /src/target/release/holdfast-workers \
    /usr/local/bin/
USER holdfast
EXPOSE 8080
CMD ["holdfast-ingress"]
