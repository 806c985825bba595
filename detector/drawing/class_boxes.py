"""Pictures of boxes in the colours of their classes: detections of new images, objects as they are annotated."""

from collections.abc import Sequence
from functools import cache
from pathlib import Path

import matplotlib
import numpy as np
from PIL import Image as PillowImage
from PIL import ImageDraw, ImageFont

from detector.boxes import clip_boxes
from detector.drawing.plates import WHITE, Colour, Label, draw_labels
from detector.records import FIRST_LABEL, Float32, Image, Int64

# dark enough for white letters, neighbours far apart; more classes begin again
COLOURS: tuple[Colour, ...] = (
    (0, 103, 172),
    (190, 66, 0),
    (0, 121, 82),
    (152, 48, 130),
    (120, 92, 0),
    (200, 30, 60),
    (76, 76, 190),
    (0, 118, 130),
)
LETTERS = 40  # heights of text that would fit the longer side
SMALLEST_FONT = 11
LINE = 1 / 200  # of the longer side


def draw_boxes(image: Image, boxes: Float32, labels: Int64, texts: Sequence[str]) -> Image:
    """`image` with boxes (N, 4) and the text of each, in the colour of its label; the first ones lie on top."""
    canvas = PillowImage.fromarray(image)
    pen = ImageDraw.Draw(canvas)
    side = max(canvas.size)
    width = max(2, round(side * LINE))
    corners = clip_boxes(boxes, canvas.height - 1, canvas.width - 1).tolist()
    rows = list(zip(corners, labels.tolist(), texts, strict=True))
    for box, label, _ in reversed(rows):
        pen.rectangle(_grown(box, 1), outline=WHITE, width=width + 2)  # seen on any background
        pen.rectangle(box, outline=class_colour(label), width=width)
    font = _font(max(SMALLEST_FONT, round(side / LETTERS)))
    draw_labels(pen, font, [Label(box, text, class_colour(label), WHITE) for box, label, text in rows])
    return np.array(canvas)


def class_colour(label: int) -> Colour:
    """The colour of the class `label`, from 1."""
    return COLOURS[(label - FIRST_LABEL) % len(COLOURS)]


def _grown(box: Sequence[float], pixels: int) -> tuple[float, float, float, float]:
    left, top, right, bottom = box
    return left - pixels, top - pixels, right + pixels, bottom + pixels


@cache
def _font(size: int) -> ImageFont.FreeTypeFont:
    path = Path(matplotlib.get_data_path()) / "fonts/ttf/DejaVuSans-Bold.ttf"
    return ImageFont.truetype(str(path), size)
