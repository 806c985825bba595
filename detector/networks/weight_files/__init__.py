"""Weight files of every family, read under this project's names."""
