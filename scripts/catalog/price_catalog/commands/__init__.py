"""The commands of scripts/catalog, one file each."""
