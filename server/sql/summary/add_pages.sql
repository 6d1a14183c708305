INSERT INTO summary_page (tenant_id, page_id, request_digest, expire_time, response)
SELECT $1, page.page_id, $2, now() + $3::numeric * interval '1 second', page.response
FROM unnest($4::uuid[], $5::bytea[]) AS page (page_id, response)
