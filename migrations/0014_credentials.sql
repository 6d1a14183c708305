-- Who may call: API keys with the digests of their secrets, and view tokens. No table holds a secret.
-- A credential is looked up before its tenant is known, by the id inside it: such ids are unique over all tenants.

CREATE TABLE api_key (
    tenant_id integer NOT NULL,
    api_key_id uuid NOT NULL,
    display_name text NOT NULL,
    permissions smallint[] NOT NULL,
    -- Dimensions that are put into every call made with the key.
    pinned jsonb NOT NULL,
    -- Other tenants for which the key may speak.
    granted_tenants integer[] NOT NULL DEFAULT '{}',
    create_time timestamptz NOT NULL DEFAULT now(),
    expire_time timestamptz,
    revoke_time timestamptz,
    -- To the minute or so.
    last_use_time timestamptz,
    request_id uuid,
    PRIMARY KEY (tenant_id, api_key_id),
    UNIQUE (tenant_id, request_id)
);
-- The key behind a view token may be one of another tenant, to which this one was granted.
CREATE UNIQUE INDEX api_key_by_id ON api_key (api_key_id);
CREATE INDEX api_key_ending ON api_key ((least(revoke_time, expire_time)))
    WHERE revoke_time IS NOT NULL OR expire_time IS NOT NULL;

-- The secrets of a key: several while one takes the place of another.
CREATE TABLE api_key_secret (
    tenant_id integer NOT NULL,
    secret_id bytea NOT NULL,
    api_key_id uuid NOT NULL,
    -- SHA-256 of the whole secret.
    digest bytea NOT NULL UNIQUE,
    create_time timestamptz NOT NULL DEFAULT now(),
    expire_time timestamptz,
    PRIMARY KEY (tenant_id, secret_id)
);
CREATE UNIQUE INDEX api_key_secret_by_id ON api_key_secret (secret_id);
CREATE INDEX api_key_secret_by_key ON api_key_secret (tenant_id, api_key_id);
CREATE INDEX api_key_secret_expiring ON api_key_secret (expire_time) WHERE expire_time IS NOT NULL;

CREATE TABLE view_token (
    tenant_id integer NOT NULL,
    secret_id bytea NOT NULL,
    digest bytea NOT NULL UNIQUE,
    -- What may be watched: messages `tollgate.v1.WatchScope`, encoded.
    scopes bytea[] NOT NULL,
    -- The key that made it, with which it ends; NULL where no key was asked for.
    api_key_id uuid,
    create_time timestamptz NOT NULL DEFAULT now(),
    expire_time timestamptz NOT NULL,
    PRIMARY KEY (tenant_id, secret_id)
);
CREATE UNIQUE INDEX view_token_by_id ON view_token (secret_id);
CREATE INDEX view_token_expiring ON view_token (expire_time);
