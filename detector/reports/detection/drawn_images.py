"""Test images drawn with what was found in them, for the pages of reports."""

import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from tqdm import tqdm

from detector.data.dataset import Dataset
from detector.errors import DataError
from detector.evaluation.outcomes import MatchedDetections
from detector.evaluation.thresholds import ScoreThresholds
from detector.progress import progress_bar
from detector.records import FIRST_LABEL, Array, Image
from detector.reports.detection.analysis import Analysis
from detector.reports.detection.picture_choice import (
    Picture,
    choose_pictures,
    count_images,
    draw_image,
    worst_images,
)

NO_PAGES: Mapping[int, str] = {}
Read = Callable[[int], Image]  # the pixels of the image at a position; DataError where it cannot be read


@dataclass(frozen=True)
class PictureSource:
    """Images to draw: their names by position, the names of the classes, and how an image is read."""

    names: Sequence[str] | Array
    classes: Sequence[str]
    read: Read

    @staticmethod
    def of(dataset: Dataset, read: Read) -> "PictureSource":
        """The images of a data set, called by their ids."""
        return PictureSource(dataset.image_ids, dataset.classes.names, read)


def draw_pictures(
    dataset: Dataset, read: Read, count: int, seed: int, analysis: Analysis, pages: Mapping[int, str] = NO_PAGES
) -> dict[str, list[Picture]]:
    """As `draw_chosen`, of all images of a data set."""
    return draw_chosen(PictureSource.of(dataset, read), range(len(dataset)), count, seed, analysis, pages)


def draw_chosen(
    source: PictureSource,
    positions: Sequence[int],
    count: int,
    seed: int,
    analysis: Analysis,
    pages: Mapping[int, str] = NO_PAGES,
) -> dict[str, list[Picture]]:
    """The best, the worst and some other images at `positions`, `count` in all, drawn, without unreadable ones.

    `pages` are the addresses of pages that tell more of the image at a position.
    """
    counts = count_images(analysis.matched, analysis.thresholds)
    chosen = choose_pictures(counts, positions, count, np.random.default_rng(seed))
    with progress_bar(total=sum(map(len, chosen.values())), desc="draw", unit="image", leave=False) as progress:

        def draw(position: int) -> Picture | None:
            progress.update()
            found = draw_position(source, analysis.matched, analysis.thresholds, position)
            caption = f"{source.names[position]}: {counts.text(position)}"
            return found and Picture(caption, found.image, pages.get(position, ""))

        drawn = {heading: list(filter(None, map(draw, positions))) for heading, positions in chosen.items()}
        return {heading: pictures for heading, pictures in drawn.items() if pictures}


def draw_position(
    source: PictureSource, matched: MatchedDetections, thresholds: ScoreThresholds, position: int
) -> Picture | None:
    """The image at `position` with its objects and the detections that reach the thresholds, under its name.

    None where it cannot be read any more, which is noted: the numbers of a report stand without its pictures.
    """
    try:
        image = source.read(position)
    except DataError as error:
        tqdm.write(f"not drawn: {error}", file=sys.stderr)
        return None
    drawn = draw_image(image, matched, thresholds, position, source.classes)
    return Picture(str(source.names[position]), drawn)


def worst_positions(analysis: Analysis, count: int) -> dict[int, float | None]:
    """The positions of the `count` worst images, the worst first, with the score from which they are drawn.

    That is the least threshold of the classes of an image's objects; None where these have none.
    """
    objects, scores = analysis.matched.objects, analysis.thresholds.scores
    found: dict[int, float | None] = {}
    for position in worst_images(count_images(analysis.matched, analysis.thresholds), count):
        own = scores[objects.labels[objects.image == position] - FIRST_LABEL]
        found[position] = float(np.nanmin(own)) if np.isfinite(own).any() else None
    return found
