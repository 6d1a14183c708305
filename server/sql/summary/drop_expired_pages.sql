DELETE FROM summary_page WHERE tenant_id = $1 AND expire_time < now()
