# The image holds one static program and an empty folder for its data: no shell, no library, no package manager.
# How it is run, and with which rights: docs/OPERATIONS.md, "In a container". `cargo xtask test image` runs the same
# root file system without an engine, and a test compares this file with xtask/src/image.rs.

FROM rust:1.95.0-bookworm AS build
# The compiler of this image, without the lints and formatters that rust-toolchain.toml names for developers.
ENV RUSTUP_TOOLCHAIN=1.95.0
WORKDIR /src
COPY . .
RUN --mount=type=cache,target=/usr/local/cargo/registry \
    --mount=type=cache,target=/src/target \
    cargo xtask image /image

FROM scratch
COPY --from=build --chown=0:0 /image/confab /confab
COPY --from=build --chown=65532:65532 /image/data /data
ENV CONFAB__DATA_DIR=/data
# There is no /tmp: temporary files of the store lie with the data, which is private.
ENV TMPDIR=/data
USER 65532:65532
VOLUME /data
# Page, API and WebSocket; native clients by QUIC. The ops listener stays on the container's own loopback.
EXPOSE 8080/tcp 8443/udp
HEALTHCHECK --interval=10s --timeout=5s --start-period=30s --retries=3 CMD ["/confab", "health"]
STOPSIGNAL SIGTERM
ENTRYPOINT ["/confab"]
CMD ["serve"]
