"""A check of a data set as one HTML page that needs no other file, with some of its images."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np

from detector.data.check import CheckedSplit, DataCheck
from detector.data.check_text import QUANTILE_NAMES, short_number, tally
from detector.data.images import Exif, read_image, resize_image
from detector.drawing.class_boxes import draw_boxes
from detector.errors import DataError
from detector.files import write_text
from detector.progress import progress_bar
from detector.records import FIRST_LABEL, Image
from detector.reports.embedded import jpeg_uri
from detector.reports.pages import page_environment

SIDE = 560  # pixels, of a picture
CASES = 200  # of a finding that the page lists


def write_data_page(path: Path, check: DataCheck, title: str, samples: int, exif: Exif) -> None:
    """Write the page; `samples` images of each split are drawn with their objects."""
    pictures = [(split.raw.title, list(_pictures(check, split, samples, exif))) for split in check.splits]
    page = page_environment().get_template("data_check.html.j2")
    text = page.render(
        title=title,
        check=check,
        tally=tally(check),
        most_cases=CASES,
        quantile_names=QUANTILE_NAMES,
        short_number=short_number,
        pictures=[(name, shown) for name, shown in pictures if shown],
        notes={},
    )
    write_text(path, text)


def _pictures(check: DataCheck, split: CheckedSplit, count: int, exif: Exif) -> Iterator[tuple[str, str]]:
    """The ids and data URIs of images with objects, evenly spread over the split."""
    candidates = np.unique(split.raw.image[(split.sizes[split.raw.image] > 0).all(axis=1)])
    chosen = candidates[np.linspace(0, len(candidates) - 1, min(count, len(candidates))).astype(np.int64)]
    for position in progress_bar(chosen.tolist(), desc=f"draw {split.raw.title}", unit="image", leave=False):
        try:
            image = read_image(Path(str(split.raw.paths[position])), exif)
        except DataError:  # it has a header and an end, and is among the findings if it was decoded
            continue
        yield str(split.raw.ids[position]), jpeg_uri(_draw(check, split, position, image))


def _draw(check: DataCheck, split: CheckedSplit, position: int, image: Image) -> Image:
    """The image with its usable objects, small ones above large ones."""
    scale = SIDE / max(image.shape[:2])
    height, width = (max(1, round(side * scale)) for side in image.shape[:2])
    rows = np.flatnonzero((split.raw.image == position) & ~split.bad & (split.labels > 0))
    boxes = split.boxes[rows]
    order = np.argsort((boxes[:, 2:] - boxes[:, :2]).prod(axis=1), kind="stable")
    labels = split.labels[rows][order]
    names = [check.classes.names[label - FIRST_LABEL] for label in labels.tolist()]
    scaled = (boxes[order] * scale).astype(np.float32)
    return draw_boxes(resize_image(image, height, width), scaled, labels, names)
