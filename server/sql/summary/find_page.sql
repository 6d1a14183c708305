SELECT response FROM summary_page
WHERE tenant_id = $1 AND page_id = $2 AND request_digest = $3 AND expire_time >= now()
