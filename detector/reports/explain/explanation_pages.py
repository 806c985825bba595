"""Writing the pages of explanations: one of each image that needs no other file, and an index of several."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple
from urllib.parse import quote

from detector.config import DetectSettings
from detector.evaluation.explained import Explanation
from detector.files import write_text
from detector.proposals.search_levels import SearchLevels
from detector.records import Image
from detector.reports.embedded import jpeg_uri, shrunk
from detector.reports.explain.page_data import page_data
from detector.reports.pages import page_environment

THUMBNAIL_SIDE = 320  # pixels
INDEX = "index.html"


class PageLink(NamedTuple):
    """A written page in the index: its file, what it is called, what is told of its objects, a small picture."""

    file: str
    title: str
    summary: str
    thumbnail: str


def write_page(
    path: Path,
    title: str,
    image: Image,
    explanation: Explanation,
    settings: DetectSettings,
    levels: Sequence[SearchLevels],
    origin: Mapping[str, str],
) -> PageLink:
    """Write the page of an image (H, W, 3) uint8 RGB at `path`; `origin` says where its numbers come from."""
    template = page_environment().get_template("explain.html.j2")
    text = template.render(
        title=title,
        data=page_data(image, explanation, settings, levels),
        has_levels=bool(levels),
        notes=origin,
        remarks=explanation.notes,
        summary=summary(explanation),
    )
    write_text(path, text)
    return PageLink(path.name, title, summary(explanation), jpeg_uri(shrunk(image, THUMBNAIL_SIDE)))


def write_index(folder: Path, title: str, pages: Sequence[PageLink], back: str = "") -> Path:
    """Write the index of `pages` in `folder`, with a link `back` where there is one."""
    rows = [(quote(page.file), page.title, page.summary, page.thumbnail) for page in pages]
    text = (
        page_environment()
        .get_template("explain_index.html.j2")
        .render(title=title, pages=rows, back=back, notes={})
    )
    write_text(folder / INDEX, text)
    return folder / INDEX


def summary(explanation: Explanation) -> str:
    """How many objects were found, and how many detections are false."""
    counted = [verdict for verdict in explanation.verdicts if verdict.kind != "ignored"]
    found = sum(verdict.kind == "found" for verdict in counted)
    boxes = len(explanation.detections)
    if not explanation.objects:
        return f"{boxes} {'detection' if boxes == 1 else 'detections'}"
    false = sum(each.object < 0 for each in explanation.detections)
    return f"{found} of {len(counted)} found, {false} false"
