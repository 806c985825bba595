"""Pictures of an image with its objects and detections.

Objects have dashed outlines, detections solid ones. A detection's label begins with a tick where it hits an
object by VOC's rule and with a cross where it hits none; an object that nothing hits is labelled "missed".
"""

from collections.abc import Sequence
from functools import cache
from pathlib import Path

import cv2
import matplotlib
import numpy as np
from PIL import Image as PillowImage
from PIL import ImageDraw, ImageFont

from detector.boxes import box_iou, clip_boxes
from detector.evaluation.matching import (
    FALSE_POSITIVE,
    IGNORED,
    TRUE_POSITIVE,
    VOC_IOU,
    Outcomes,
    match_voc,
)
from detector.records import (
    Bool,
    Detections,
    DetectionTable,
    Float32,
    GroundTruth,
    Image,
    Int64,
    object_table,
    table_of_detections,
    take,
)

Colour = tuple[int, int, int]
Point = tuple[float, float]

WHITE: Colour = (255, 255, 255)
DARK: Colour = (24, 24, 27)
GREY: Colour = (82, 82, 91)
STYLES: dict[int, tuple[Colour, str]] = {
    TRUE_POSITIVE: ((0, 103, 172), "\N{CHECK MARK} "),
    FALSE_POSITIVE: ((192, 68, 0), "\N{MULTIPLICATION X} "),
    IGNORED: (GREY, ""),
}
EXTRA_DETECTIONS = 4  # drawn beyond as many as there are objects
DASH = 6  # pixels
LINES = 36  # of text that would fit the picture's longer side
SMALLEST_FONT = 11


def evenly_spread(positions: Sequence[int], count: int) -> list[int]:
    """At most `count` of the `positions`, from the first to the last at even distances."""
    chosen = np.linspace(0, len(positions) - 1, min(count, len(positions))).astype(np.int64)
    return [positions[place] for place in chosen]


def best_detections(table: DetectionTable, position: int, objects: int) -> Detections:
    """The best detections of the image at `position`, a few more than it has objects: all would hide it."""
    rows = take(table, table.image == position)
    best = take(rows, np.argsort(-rows.scores, kind="stable")[: objects + EXTRA_DETECTIONS])
    return Detections(best.boxes.astype(np.float32), best.labels, best.scores.astype(np.float32))


def draw_detections(
    image: Image,
    detections: Detections,
    truth: GroundTruth | None,
    names: Sequence[str],
    longer_side: int | None = None,
) -> Image:
    """`image` with boxes and labels drawn, better detections over worse ones.

    Without `truth` no detection is right or wrong. The picture is scaled to `longer_side` pixels if that is
    given, which makes the labels of all pictures equally large.
    """
    detections = take(detections, np.argsort(-detections.scores, kind="stable"))
    scale = longer_side / max(image.shape[:2]) if longer_side else 1.0
    canvas = PillowImage.fromarray(_resize(image, scale))
    pen = ImageDraw.Draw(canvas)
    font = _font(max(SMALLEST_FONT, round(max(canvas.size) / LINES)))
    outcomes = np.full(len(detections.scores), IGNORED, np.int8)
    if truth is not None:
        outcomes = _outcomes(detections, truth)
        missed = _missed(truth, take(detections, outcomes == TRUE_POSITIVE))
        _draw_objects(pen, font, _corners(truth.boxes * scale, canvas), truth.labels, missed, names)
    corners = _corners(detections.boxes * scale, canvas)
    worst_first = range(len(outcomes))[::-1]
    for m in worst_first:
        _outline(pen, corners[m], STYLES[int(outcomes[m])][0])
    for m in worst_first:
        colour, mark = STYLES[int(outcomes[m])]
        text = f"{mark}{names[detections.labels[m] - 1]} {detections.scores[m]:.2f}"
        _label(pen, font, (corners[m][0], corners[m][1]), text, colour, WHITE)
    return np.array(canvas)


def _draw_objects(
    pen: ImageDraw.ImageDraw,
    font: ImageFont.FreeTypeFont,
    corners: list[list[float]],
    labels: Int64,
    missed: Bool,
    names: Sequence[str],
) -> None:
    for (left, top, right, bottom), label, is_missed in zip(corners, labels, missed, strict=True):
        for y in (top, bottom):
            _dashes(pen, (left, y), (right, y))
        for x in (left, right):
            _dashes(pen, (x, top), (x, bottom))
        if is_missed:
            _label(pen, font, (left, bottom), f"missed {names[label - 1]}", WHITE, DARK)


def _corners(boxes: Float32, canvas: PillowImage.Image) -> list[list[float]]:
    """`boxes` cut to the pixels of `canvas`, so that a side outside it is drawn along its edge."""
    width, height = canvas.size
    return clip_boxes(boxes, height - 1, width - 1).tolist()


def _outcomes(detections: Detections, truth: GroundTruth) -> Outcomes:
    image = np.zeros(len(truth.labels), np.int64)
    boxes = truth.boxes.astype(np.float64)
    objects = object_table(image, boxes, truth.labels, truth.difficult | truth.crowd, truth.crowd)
    return match_voc(objects, table_of_detections([detections])).outcomes


def _missed(truth: GroundTruth, hits: Detections) -> Bool:
    """Mask (G,) of the objects that count and that none of the detections `hits` is on."""
    on = (box_iou(truth.boxes, hits.boxes) >= VOC_IOU) & (truth.labels[:, None] == hits.labels[None, :])
    return ~on.any(axis=1) & ~truth.difficult & ~truth.crowd


def _resize(image: Image, scale: float) -> Image:
    if scale == 1:
        return image
    height, width = (max(1, round(side * scale)) for side in image.shape[:2])
    method = cv2.INTER_AREA if scale < 1 else cv2.INTER_CUBIC
    return np.asarray(cv2.resize(image, (width, height), interpolation=method), np.uint8)


@cache
def _font(size: int) -> ImageFont.FreeTypeFont:
    path = Path(matplotlib.get_data_path()) / "fonts/ttf/DejaVuSans-Bold.ttf"
    return ImageFont.truetype(str(path), size)


def _outline(pen: ImageDraw.ImageDraw, box: Sequence[float], colour: Colour) -> None:
    """A line of `colour` with a thin light edge, seen on any background."""
    left, top, right, bottom = box
    right, bottom = max(left, right - 1), max(top, bottom - 1)
    pen.rectangle((left - 1, top - 1, right + 1, bottom + 1), outline=WHITE, width=5)
    pen.rectangle((left, top, right, bottom), outline=colour, width=3)


def _dashes(pen: ImageDraw.ImageDraw, start: Point, end: Point) -> None:
    """A line, horizontal or vertical, of white dashes on a dark ground."""
    pen.line((*start, *end), fill=DARK, width=4)
    (x1, y1), (x2, y2) = start, end
    length = max(x2 - x1, y2 - y1)
    along = (1.0, 0.0) if x2 > x1 else (0.0, 1.0)
    for at in np.arange(0.0, length, 2 * DASH).tolist():
        stop = min(at + DASH, length)
        pen.line(
            (x1 + along[0] * at, y1 + along[1] * at, x1 + along[0] * stop, y1 + along[1] * stop),
            fill=WHITE,
            width=2,
        )


def _label(
    pen: ImageDraw.ImageDraw,
    font: ImageFont.FreeTypeFont,
    corner: Point,
    text: str,
    ground: Colour,
    ink: Colour,
) -> None:
    """`text` on a plate that stands on `corner`, moved into the picture where it would leave it."""
    width, height = pen.textlength(text, font) + 8, font.size + 5
    right, bottom = pen.im.size
    x = min(max(corner[0] - 1, 0), max(right - width, 0))
    y = min(max(corner[1] - height, 0), max(bottom - height, 0))
    pen.rectangle((x, y, x + width, y + height), fill=ground)
    pen.text((x + 4, y + height / 2), text, fill=ink, font=font, anchor="lm")
