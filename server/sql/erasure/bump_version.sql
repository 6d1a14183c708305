-- Names are looked up anew, and batches read which erasures run together with the budgets.
UPDATE tenant SET erasures_version = erasures_version + 1, budgets_version = budgets_version + 1 WHERE tenant_id = $1
