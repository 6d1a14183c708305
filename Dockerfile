# syntax=docker/dockerfile:1
#   docker build --target server --tag tollgate-server .   the server alone, over a Postgres of yours: for production
#   docker build --tag tollgate .                          with a Postgres of its own: to try it, or for one small machine

FROM rust:1.95-bookworm AS builder
WORKDIR /build
COPY . .
RUN --mount=type=cache,target=/usr/local/cargo/registry \
    --mount=type=cache,target=/build/target \
    cargo build --profile dist --locked --bin tollgate \
    && install target/dist/tollgate /usr/local/bin/tollgate

# No shell, no package manager, nothing but the C library and the roots of certificates.
FROM gcr.io/distroless/cc-debian12:nonroot AS server
LABEL org.opencontainers.image.title="Tollgate" \
    org.opencontainers.image.description="Meters LLM usage and holds budgets, over a Postgres of yours" \
    org.opencontainers.image.source="https://github.com/tollgate-dev/tollgate" \
    org.opencontainers.image.licenses="Apache-2.0"
COPY --from=builder /usr/local/bin/tollgate /usr/local/bin/tollgate
COPY LICENSE domain/catalog/THIRD_PARTY_NOTICES /usr/share/doc/tollgate/
# A container is reached from outside itself, so the server asks who may reach it: it starts with TOLLGATE_AUTH__REQUIRED=true and
# either TLS (TOLLGATE_SERVER__TLS__CERTIFICATE, TOLLGATE_SERVER__TLS__PRIVATE_KEY) or, behind something that encrypts,
# TOLLGATE_SERVER__ALLOW_PLAINTEXT=true. Over TLS the check of health below needs an authority, and a certificate that is for 127.0.0.1,
# too: let compose ask with [CMD, tollgate, health, --ca, FILE] instead.
ENV TOLLGATE_SERVER__LISTEN=0.0.0.0:4747
EXPOSE 4747
# SIGTERM drains: give it longer than `server.drain_timeout`, such as docker stop --time 30.
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=10s --timeout=5s --start-period=60s --retries=3 CMD ["/usr/local/bin/tollgate", "health"]
ENTRYPOINT ["/usr/local/bin/tollgate"]
CMD ["serve"]

FROM debian:bookworm-slim AS all-in-one
LABEL org.opencontainers.image.title="Tollgate with a Postgres of its own" \
    org.opencontainers.image.description="Meters LLM usage and holds budgets; brings a private Postgres" \
    org.opencontainers.image.source="https://github.com/tollgate-dev/tollgate" \
    org.opencontainers.image.licenses="Apache-2.0"
# Postgres is for the private database of a server that is given no DATABASE_URL; Debian's own cluster is not wanted.
RUN apt-get update \
    && apt-get install --yes --no-install-recommends ca-certificates postgresql-common \
    && sed -ri 's/^#?(create_main_cluster) .*$/\1 = false/' /etc/postgresql-common/createcluster.conf \
    && apt-get install --yes --no-install-recommends postgresql \
    && rm -rf /var/lib/apt/lists/* \
    && groupadd --system --gid 4747 tollgate \
    && useradd --system --uid 4747 --gid tollgate --home-dir /var/lib/tollgate --shell /usr/sbin/nologin tollgate \
    && install --directory --owner tollgate --group tollgate --mode 0700 /var/lib/tollgate
COPY --from=builder /usr/local/bin/tollgate /usr/local/bin/tollgate
COPY LICENSE domain/catalog/THIRD_PARTY_NOTICES /usr/share/doc/tollgate/

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
