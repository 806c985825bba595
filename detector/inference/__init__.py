"""Inference: from an image and its proposals to detections."""
