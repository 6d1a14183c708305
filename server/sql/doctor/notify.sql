SELECT pg_notify('tollgate_doctor', $1)
