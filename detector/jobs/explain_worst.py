"""Explaining the worst images of a test, for its report."""

import sys
from collections.abc import Mapping
from pathlib import Path

from tqdm import tqdm

from detector.config import Config
from detector.errors import DataError
from detector.jobs.explain_images import PageJob
from detector.jobs.known_objects import objects_at
from detector.jobs.trained_detector import detector_of
from detector.progress import progress_bar
from detector.reports.explain.explanation_pages import INDEX, write_index
from detector.runs.job import Job
from detector.runs.split import Split
from detector.stages.evaluate import Explained


def explain_worst(
    job: Job[Config], split: Split, positions: Mapping[int, float | None], folder: Path
) -> Explained:
    """Explain the images of a split at `positions` by the detector that a job reports, into `folder`.

    With each position comes the least score of a detection to begin with, or None.
    """
    dataset = split.dataset
    files = {Path(str(dataset.paths[position])): position for position in positions}
    pages = PageJob(detector_of(job), folder, lambda file: objects_at(dataset, files[file]), job.config.name)
    written: dict[int, str] = {}
    links = []
    for number, (file, position) in enumerate(
        progress_bar(files.items(), "explain", unit="image", leave=False), 1
    ):
        try:
            links.append(pages.page(number, file, positions[position]))
            written[position] = links[-1].file
        except DataError as error:
            tqdm.write(f"not explained: {error}", file=sys.stderr)
    if links:
        write_index(folder, f"Worst images: {job.config.name}", links, "../index.html")
    return Explained(written, INDEX if links else "")
