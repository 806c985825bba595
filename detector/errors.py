"""The two errors a user can cause; commands show them as one line and exit with status 2."""


class ConfigError(Exception):
    """A setting is unknown, of the wrong type or out of range."""


class DataError(Exception):
    """A file, folder or value of the user's data is missing or cannot be used."""
