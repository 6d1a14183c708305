-- Erasures: what identifies a person is replaced by a pseudonym, in the name of which all sums stand on.

-- Rises with every erasure: replicas that hold another version look up names anew.
ALTER TABLE tenant ADD COLUMN erasures_version bigint NOT NULL DEFAULT 0;

CREATE TABLE erasure (
    tenant_id integer NOT NULL,
    erasure_id uuid NOT NULL,
    request_id uuid NOT NULL,
    -- Which dimension the person was named by.
    dimension smallint NOT NULL,
    -- The number of the name in the dictionary; NULL where no event told it.
    symbol_id bigint,
    pseudonym text NOT NULL,
    -- What pseudonyms are keyed with. It knows the name again until everything is erased, and is forgotten then.
    key bytea,
    -- Counters whose key changed with the name: budget, old and new digest.
    scopes jsonb NOT NULL,
    reason text NOT NULL,
    create_time timestamptz NOT NULL,
    done_time timestamptz,
    -- What is erased next, and after which row.
    stage smallint NOT NULL,
    position uuid,
    events_erased bigint NOT NULL DEFAULT 0,
    PRIMARY KEY (tenant_id, erasure_id),
    UNIQUE (tenant_id, request_id)
);
CREATE INDEX erasure_running ON erasure (tenant_id, create_time) WHERE done_time IS NULL;
SELECT confine_to_tenant('erasure');
GRANT SELECT ON erasure TO tollgate_tenant;
