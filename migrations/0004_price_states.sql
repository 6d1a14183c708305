-- Attempts by how far they could be priced: `unpriced` counts those with no price or only part of one; of them `partial`
-- had part of one, and `free` had a price of zero.
ALTER TABLE session_usage ADD COLUMN partial bigint NOT NULL DEFAULT 0, ADD COLUMN free bigint NOT NULL DEFAULT 0;
ALTER TABLE usage_rollup ADD COLUMN partial bigint NOT NULL DEFAULT 0, ADD COLUMN free bigint NOT NULL DEFAULT 0;
ALTER TABLE user_rollup ADD COLUMN partial bigint NOT NULL DEFAULT 0, ADD COLUMN free bigint NOT NULL DEFAULT 0;
ALTER TYPE measures ADD ATTRIBUTE partial bigint, ADD ATTRIBUTE free bigint;
