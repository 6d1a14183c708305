# syntax=docker/dockerfile:1

FROM rust:1.95-bookworm AS builder
WORKDIR /build
COPY . .
RUN cargo build --profile dist --locked --bin tollgate

FROM debian:bookworm-slim
# Postgres is for the private database of a server that is given no DATABASE_URL; Debian's own cluster is not wanted.
RUN apt-get update \
    && apt-get install --yes --no-install-recommends ca-certificates postgresql-common \
    && sed -ri 's/^#?(create_main_cluster) .*$/\1 = false/' /etc/postgresql-common/createcluster.conf \
    && apt-get install --yes --no-install-recommends postgresql \
    && rm -rf /var/lib/apt/lists/* \
    && groupadd --system --gid 4747 tollgate \
    && useradd --system --uid 4747 --gid tollgate --home-dir /var/lib/tollgate --shell /usr/sbin/nologin tollgate \
    && install --directory --owner tollgate --group tollgate --mode 0700 /var/lib/tollgate
COPY --from=builder /build/target/dist/tollgate /usr/local/bin/tollgate
COPY LICENSE /usr/share/doc/tollgate/LICENSE

USER tollgate
# The private database lives here: mount a volume to keep it.
ENV TOLLGATE_EMBEDDED__DATA_DIR=/var/lib/tollgate/data
VOLUME /var/lib/tollgate

# A container is reached from outside itself, so the server asks who may reach it. With keys, behind something that encrypts:
#   docker run --env TOLLGATE_AUTH__REQUIRED=true --env TOLLGATE_SERVER__ALLOW_PLAINTEXT=true --publish 127.0.0.1:4747:4747 tollgate
# The first key: docker exec CONTAINER tollgate keys create --permission admin
# Without keys, where nobody else reaches it: TOLLGATE_SERVER__ALLOW_UNAUTHENTICATED=true instead of both.
ENV TOLLGATE_SERVER__LISTEN=0.0.0.0:4747
EXPOSE 4747

# SIGTERM drains: calls under way end, the ledger's queue is written out. Give it longer than `server.drain_timeout`, and
# the private database time to stop: docker stop --time 90.
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=10s --timeout=5s --start-period=60s --retries=3 CMD ["tollgate", "health"]
ENTRYPOINT ["tollgate"]
CMD ["serve"]
