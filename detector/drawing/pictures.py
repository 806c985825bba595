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
from detector.drawing.plates import WHITE, Colour, Label, draw_labels
from detector.evaluation.matching import FALSE_POSITIVE, IGNORED, TRUE_POSITIVE, Outcomes, match_best
from detector.records import (
    Bool,
    Detections,
    Float32,
    GroundTruth,
    Image,
    object_table,
    table_of_detections,
    take,
)

Point = tuple[float, float]

IOU = 0.5  # from which a detection is drawn as one on an object
DARK: Colour = (24, 24, 27)
GREY: Colour = (82, 82, 91)
STYLES: dict[int, tuple[Colour, str]] = {
    TRUE_POSITIVE: ((0, 103, 172), "\N{CHECK MARK} "),
    FALSE_POSITIVE: ((192, 68, 0), "\N{MULTIPLICATION X} "),
    IGNORED: (GREY, ""),
}
DASH = 6  # pixels
LETTERS = 30  # heights of text that would fit the picture's width, in which it will be shown among others
LINES = 14  # at least, of text that fit the height of a wide picture
SMALLEST_FONT = 11


def draw_detections(
    image: Image,
    detections: Detections,
    truth: GroundTruth | None,
    names: Sequence[str],
    longer_side: int | None = None,
) -> Image:
    """`image` with boxes and labels drawn, better detections over worse ones.

    Without `truth` no detection is right or wrong. The picture is scaled to `longer_side` pixels if that is
    given. Labels are as high as its width allows, so that pictures shown equally wide have equally large ones.
    """
    detections = take(detections, np.argsort(-detections.scores, kind="stable"))
    if truth is None:
        nothing = np.zeros(0, np.bool_)
        truth = GroundTruth(np.empty((0, 4), np.float32), np.empty(0, np.int64), nothing, nothing)
        outcomes, missed = np.full(len(detections.scores), IGNORED, np.int8), nothing
    else:
        outcomes = _outcomes(detections, truth)
        missed = _missed(truth, take(detections, outcomes == TRUE_POSITIVE))
    return draw_outcomes(image, detections, outcomes, truth, missed, names, longer_side)


def draw_outcomes(
    image: Image,
    detections: Detections,
    outcomes: Outcomes,
    truth: GroundTruth,
    missed: Bool,
    names: Sequence[str],
    longer_side: int | None = None,
) -> Image:
    """As `draw_detections`, with `detections` best first, their `outcomes` (M,) and the objects `missed` (G,)."""
    scale = longer_side / max(image.shape[:2]) if longer_side else 1.0
    canvas = PillowImage.fromarray(_resize(image, scale))
    pen = ImageDraw.Draw(canvas)
    font = _font(max(SMALLEST_FONT, round(min(canvas.width / LETTERS, canvas.height / LINES))))
    labels = []
    objects, corners = _corners(truth.boxes * scale, canvas), _corners(detections.boxes * scale, canvas)
    for box in objects:
        _dashed_outline(pen, box)
    for box, outcome, label, score in zip(corners, outcomes, detections.labels, detections.scores, strict=True):
        colour, mark = STYLES[int(outcome)]
        labels.append(Label(box, f"{mark}{names[label - 1]} {score:.2f}", colour, WHITE))
    for m in range(len(corners))[::-1]:
        _outline(pen, corners[m], labels[m].ground)
    labels += [
        Label(objects[g], f"missed {names[truth.labels[g] - 1]}", WHITE, DARK, below=True)
        for g in np.flatnonzero(missed)
    ]
    draw_labels(pen, font, labels)
    return np.array(canvas)


def _corners(boxes: Float32, canvas: PillowImage.Image) -> list[list[float]]:
    """`boxes` cut to the pixels of `canvas`, so that a side outside it is drawn along its edge."""
    width, height = canvas.size
    return clip_boxes(boxes, height - 1, width - 1).tolist()


def _outcomes(detections: Detections, truth: GroundTruth) -> Outcomes:
    image = np.zeros(len(truth.labels), np.int64)
    boxes = truth.boxes.astype(np.float64)
    objects = object_table(image, boxes, truth.labels, truth.difficult | truth.crowd, truth.crowd)
    return match_best(objects, table_of_detections([detections]), IOU).outcomes


def _missed(truth: GroundTruth, hits: Detections) -> Bool:
    """Mask (G,) of the objects that count and that none of the detections `hits` is on."""
    on = (box_iou(truth.boxes, hits.boxes) >= IOU) & (truth.labels[:, None] == hits.labels[None, :])
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


def _dashed_outline(pen: ImageDraw.ImageDraw, box: Sequence[float]) -> None:
    left, top, right, bottom = box
    for y in (top, bottom):
        _dashes(pen, (left, y), (right, y))
    for x in (left, right):
        _dashes(pen, (x, top), (x, bottom))


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
