"""Boxes and plates of text on pictures."""
