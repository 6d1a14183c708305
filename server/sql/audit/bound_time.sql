-- For the rest of the transaction, in milliseconds.
SELECT set_config('statement_timeout', $1, true) AS "set!"
