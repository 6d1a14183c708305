"""Makes the price catalog of Tollgate: upstream prices and our corrections in, one file out."""
