"""The two errors a user can cause; commands show them as one line and exit with status 2."""

from detector.text import one_line


class UserError(Exception):
    """A mistake of the user's, told in one printable line of bounded length."""

    def __init__(self, message: str) -> None:
        super().__init__(one_line(message))


class ConfigError(UserError):
    """A setting is unknown, of the wrong type or out of range."""


class AlreadyTold(UserError):
    """What another process of the same group tells: this one ends with the same status, and without a word."""


class DataError(UserError):
    """A file, folder or value of the user's data is missing or cannot be used."""
