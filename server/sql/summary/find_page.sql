-- With the erasures that have been begun by now: names that a page shows may be gone since it was read.
SELECT response, (SELECT erasures_version FROM tenant WHERE tenant_id = $1) AS erasures_version
FROM summary_page
WHERE tenant_id = $1 AND page_id = $2 AND request_digest = $3 AND expire_time >= now()
