-- An answer that only this question has, by a statement of its own.
SELECT $1::bigint AS "echo!"
