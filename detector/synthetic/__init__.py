"""The synthetic world: images for trying the whole pipeline without a download. Only its command needs it."""
