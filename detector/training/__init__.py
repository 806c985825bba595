"""Fine-tuning: from images, objects and proposals to trained weights."""
