-- A call that was billed as more than one model: the parts of the others, JSON. Their tokens are part of the columns' counts.
-- And the API whose own usage object the counts were read from.
ALTER TABLE usage_event ADD COLUMN additional jsonb, ADD COLUMN usage_api text;
ALTER TABLE usage_adjustment ADD COLUMN additional jsonb, ADD COLUMN usage_api text;
ALTER TYPE usage_event_v1 ADD ATTRIBUTE additional jsonb, ADD ATTRIBUTE usage_api text;
