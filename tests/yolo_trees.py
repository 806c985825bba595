"""Small YOLO data sets on disk, in the layouts that tools write."""

from collections.abc import Mapping, Sequence
from pathlib import Path

from trees import write_image, write_lines

ONE = "0 0.5 0.5 0.5 0.25"  # of trees.write_image's 60 x 40 pixels: 15, 15, 45, 25


def pair(image: Path, labels: Path | None, *lines: str) -> Path:
    """An image and, unless it is None, its label file."""
    write_image(image)
    if labels is not None:
        write_lines(labels, *lines)
    return image


def two_folders(root: Path, split: str, images: Mapping[str, Sequence[str]]) -> Path:
    """ROOT/SPLIT/images and ROOT/SPLIT/labels, as Roboflow exports them."""
    for name, lines in images.items():
        pair(root / split / "images" / f"{name}.jpg", root / split / "labels" / f"{name}.txt", *lines)
    return root


def by_kind(root: Path, split: str, images: Mapping[str, Sequence[str]]) -> Path:
    """ROOT/images/SPLIT and ROOT/labels/SPLIT, as Ultralytics has them."""
    for name, lines in images.items():
        pair(root / "images" / split / f"{name}.jpg", root / "labels" / split / f"{name}.txt", *lines)
    return root
