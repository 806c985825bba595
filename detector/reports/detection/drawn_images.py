"""Test images drawn with what was found in them, for the pages of reports."""

import sys
from collections.abc import Callable, Mapping

import numpy as np
from tqdm import tqdm

from detector.data.dataset import Dataset
from detector.errors import DataError
from detector.evaluation.outcomes import MatchedDetections
from detector.evaluation.thresholds import ScoreThresholds
from detector.progress import progress_bar
from detector.records import FIRST_LABEL, Image
from detector.reports.detection.analysis import Analysis
from detector.reports.detection.picture_choice import (
    Picture,
    choose_images,
    count_images,
    draw_image,
    worst_images,
)

NO_PAGES: Mapping[int, str] = {}
Read = Callable[[int], Image]  # the pixels of the image at a position; DataError where it cannot be read


def draw_pictures(
    dataset: Dataset, read: Read, count: int, seed: int, analysis: Analysis, pages: Mapping[int, str] = NO_PAGES
) -> dict[str, list[Picture]]:
    """The best, the worst and some other images, `count` in all, drawn; those that cannot be read are left out.

    `pages` are the addresses of pages that tell more of the image at a position.
    """
    counts = count_images(analysis.matched, analysis.thresholds)
    random = np.random.default_rng(seed)
    chosen = choose_images(counts, range(len(dataset)), count, random)
    with progress_bar(total=sum(map(len, chosen.values())), desc="draw", unit="image", leave=False) as progress:

        def draw(position: int) -> Picture | None:
            progress.update()
            found = draw_position(dataset, read, analysis.matched, analysis.thresholds, position)
            caption = f"{dataset.image_ids[position]}: {counts.text(position)}"
            return found and Picture(caption, found.image, pages.get(position, ""))

        drawn = {heading: list(filter(None, map(draw, positions))) for heading, positions in chosen.items()}
        return {heading: pictures for heading, pictures in drawn.items() if pictures}


def draw_position(
    dataset: Dataset, read: Read, matched: MatchedDetections, thresholds: ScoreThresholds, position: int
) -> Picture | None:
    """The image at `position` with its objects and the detections that reach the thresholds, called by its id.

    None where it cannot be read any more, which is noted: the numbers of a report stand without its pictures.
    """
    try:
        image = read(position)
    except DataError as error:
        tqdm.write(f"not drawn: {error}", file=sys.stderr)
        return None
    drawn = draw_image(image, matched, thresholds, position, dataset.classes.names)
    return Picture(str(dataset.image_ids[position]), drawn)


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
