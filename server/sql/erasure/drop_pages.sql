-- Pages that wait to be asked for show names.
DELETE FROM summary_page WHERE tenant_id = $1
