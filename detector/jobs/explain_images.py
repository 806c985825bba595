"""Pages that show what a detector did with images, and why it missed their objects."""

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from detector.config import ProposalSettings
from detector.errors import DataError
from detector.files import fitting_name
from detector.inference.detector import ObjectDetector
from detector.inference.proposal_methods.by_search import SearchProposer
from detector.inference.proposal_methods.by_union import UnionProposer
from detector.inference.proposer import Proposer
from detector.jobs.known_objects import ObjectsOf
from detector.proposals.search_levels import search_levels
from detector.reports.explain.explanation_pages import PageLink, write_index, write_page
from detector.runs.environment import environment_notes
from detector.text import UNPRINTABLE, one_line


@dataclass(frozen=True)
class PageJob:
    """Explains images by `detector`, which the pages call `source`, into `folder`, with the objects of each."""

    detector: ObjectDetector
    folder: Path
    objects_of: ObjectsOf
    source: str

    def page(self, number: int, file: Path, min_score: float | None = None) -> PageLink:
        """Write the page of an image file; DataError where it cannot be read, or its objects are not known.

        It begins with detections from `min_score` on, None for those that are likely right.
        """
        image = self.detector.read(file)
        explanation = self.detector.explain(image, self.objects_of(file), min_score)
        search = search_of(self.detector.proposer)
        levels = search_levels(image, search) if search else []
        return write_page(
            self.folder / page_name(number, file),
            one_line(file.name),
            image,
            explanation,
            self.detector.settings,
            levels,
            self._origin(file),
        )

    def _origin(self, file: Path) -> Mapping[str, str]:
        return {"Image": one_line(str(file)), "Detector": one_line(self.source), **environment_notes()}


def explain_images(
    job: PageJob,
    files: Iterable[Path],
    leave_out: Callable[[Path, DataError], None],
    min_score: float | None = None,
) -> list[PageLink]:
    """Write a page for each image file, and an index of several; an image that cannot be read is left out."""
    pages: list[PageLink] = []
    count = 0
    for count, file in enumerate(files, 1):
        try:
            pages.append(job.page(count, file, min_score))
        except DataError as error:
            leave_out(file, error)
    if pages and count > 1:
        write_index(job.folder, f"Explained: {job.source}", pages)
    return pages


def page_name(number: int, file: Path) -> str:
    """What the page of an image is called; a long name of the image loses its end."""
    stem = re.sub(rf"{UNPRINTABLE.pattern}|[/\\:*?\"<>|#%]", "_", file.stem)
    return fitting_name(f"{number:06d}_", stem, ".html")


def search_of(proposer: Proposer) -> ProposalSettings | None:
    """The settings of the selective search that proposes, alone or with others; None where none does."""
    match proposer:
        case SearchProposer():
            return proposer.settings
        case UnionProposer():
            return next(filter(None, map(search_of, proposer.parts)), None)
    return None
