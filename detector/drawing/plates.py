"""Labels in a picture: plates of text beside their boxes, moved apart where they would hide each other."""

from collections.abc import Iterator, Sequence
from math import ceil
from typing import NamedTuple

from PIL import ImageDraw, ImageFont

from detector.text import one_line

Colour = tuple[int, int, int]
Plate = tuple[float, float, float, float]  # left, top, right, bottom

WHITE: Colour = (255, 255, 255)
MARGIN = 4  # pixels beside the text
LONGEST = 60  # letters of a label


class Label(NamedTuple):
    """A text that belongs to a box, above it or, better for some, at its foot."""

    box: Sequence[float]
    text: str
    ground: Colour
    ink: Colour
    below: bool = False


def draw_labels(pen: ImageDraw.ImageDraw, font: ImageFont.FreeTypeFont, labels: Sequence[Label]) -> None:
    """Draw `labels`; the first ones choose their places first and lie above the others.

    A text is drawn on one line: characters that cannot be seen as escapes, a long one without its middle.
    """
    plates: list[Plate] = []
    labels = [label._replace(text=one_line(label.text, LONGEST)) for label in labels]
    for label in labels:
        width, height = ceil(pen.textlength(label.text, font)) + 2 * MARGIN, font.size + 5
        places = [_inside(place, width, height, pen.im.size) for place in _places(label, width, height)]
        free = (place for place in places if not any(_overlap(place, plate) for plate in plates))
        plates.append(next(free, places[0]))
    for label, (left, top, right, bottom) in reversed(list(zip(labels, plates, strict=True))):
        pen.rectangle((left, top, right - 1, bottom - 1), fill=label.ground)
        pen.text((left + MARGIN, (top + bottom) / 2), label.text, fill=label.ink, font=font, anchor="lm")


def _places(label: Label, width: float, height: float) -> Iterator[tuple[float, float]]:
    """Left top corners where the plate may stand, the best first: outside of the box, then inside of it."""
    left, top, right, bottom = label.box
    heights = [top - height, bottom, top, bottom - height]
    if label.below:
        heights = [bottom - height, top, bottom, top - height]
    for y in heights:
        yield left - 1, y
        yield right - width + 1, y


def _inside(place: tuple[float, float], width: float, height: float, size: tuple[int, int]) -> Plate:
    """The plate at `place`, moved into the picture where it would leave it."""
    left = min(max(place[0], 0), max(size[0] - width, 0))
    top = min(max(place[1], 0), max(size[1] - height, 0))
    return left, top, left + width, top + height


def _overlap(plate: Plate, other: Plate) -> bool:
    return plate[0] < other[2] and other[0] < plate[2] and plate[1] < other[3] and other[1] < plate[3]
