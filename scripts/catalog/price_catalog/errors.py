"""Why a command stops, in words for whoever runs it."""


class CatalogError(Exception):
    """Something about the inputs that a person has to decide."""
