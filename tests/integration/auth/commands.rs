//! `tollgate keys` and `tollgate tenants`, the program itself.
