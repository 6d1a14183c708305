-- An answer that only this question has, by another statement than that of echo.sql.
SELECT - $1::bigint AS "negated!"
