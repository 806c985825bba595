"""Data sets: readers, images, augmentation and stores, in numpy alone."""
