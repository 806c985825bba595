"""Ways to propose the regions of images: one module a method. They import torch where they run, not before."""
