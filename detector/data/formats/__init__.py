"""Formats of data sets: one file a format."""
