"""Pages that explain what a detector did with an image."""
