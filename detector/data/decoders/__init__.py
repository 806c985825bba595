"""The formats of image files that are opened, and how each is decoded; no others reach a decoder."""
