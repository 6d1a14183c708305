-- Prices of tenants. Append-only: a price is never rewritten, only its end is set, so that what an event was charged by
-- stays readable.

-- Rises with every change of the tenant's prices: a replica that holds another version reloads them.
ALTER TABLE tenant ADD COLUMN prices_version bigint NOT NULL DEFAULT 0;

CREATE TABLE tenant_price (
    tenant_id integer NOT NULL,
    price_id uuid NOT NULL,
    provider_name text NOT NULL,
    -- A `*` at the end stands for any rest.
    model text NOT NULL,
    -- Empty = any.
    provider_tier text NOT NULL,
    region text NOT NULL,
    -- 1: the whole model, 2: the lines that are listed.
    coverage smallint NOT NULL,
    rates jsonb NOT NULL,
    multiplier numeric(28,12),
    start_time timestamptz NOT NULL,
    end_time timestamptz,
    note text NOT NULL,
    create_time timestamptz NOT NULL,
    -- The request that added it, and a digest of what it asked for: the same one again is answered with this price.
    request_id uuid,
    request_digest uuid,
    -- The price that superseded it.
    superseded_by uuid,
    PRIMARY KEY (tenant_id, price_id)
);
CREATE UNIQUE INDEX tenant_price_by_request ON tenant_price (tenant_id, request_id) WHERE request_id IS NOT NULL;
