import numpy as np
import pytest

from detector.drawing import pictures
from detector.drawing.pictures import draw_detections
from detector.records import Detections, GroundTruth

NAMES = ("apple", "pear")
BLANK = np.full((120, 160, 3), 128, np.uint8)
BLUE, ORANGE, GREY = (0, 103, 172), (192, 68, 0), (82, 82, 91)


def detections(*rows: tuple[float, int, tuple[float, ...]]) -> Detections:
    return Detections(
        np.array([row[2] for row in rows], np.float32).reshape(-1, 4),
        np.array([row[1] for row in rows], np.int64),
        np.array([row[0] for row in rows], np.float32),
    )


def truth(*boxes: tuple[float, ...]) -> GroundTruth:
    flags = np.zeros(len(boxes), np.bool_)
    return GroundTruth(np.array(boxes, np.float32).reshape(-1, 4), np.ones(len(boxes), np.int64), flags, flags)


def colours(image: np.ndarray) -> set[tuple[int, ...]]:
    return {tuple(pixel) for pixel in image.reshape(-1, 3).tolist()}


def labels_of(monkeypatch: pytest.MonkeyPatch, *arguments: object) -> list[str]:
    """The labels that are drawn, in order."""
    texts: list[str] = []
    monkeypatch.setattr(pictures, "draw_labels", lambda *given: texts.extend(label.text for label in given[2]))
    draw_detections(BLANK, *arguments)  # type: ignore[arg-type]
    return texts


def test_hits_misses_and_missed_objects_are_told_apart(monkeypatch: pytest.MonkeyPatch) -> None:
    found = detections((0.9, 1, (10, 10, 60, 60)), (0.8, 1, (12, 10, 62, 60)), (0.7, 2, (10, 10, 60, 60)))
    known = truth((10, 10, 60, 60), (90, 70, 150, 110))
    assert labels_of(monkeypatch, found, known, NAMES) == [
        "\N{CHECK MARK} apple 0.90",
        "\N{MULTIPLICATION X} apple 0.80",
        "\N{MULTIPLICATION X} pear 0.70",
        "missed apple",
    ]


def test_without_truth_detections_are_neutral(monkeypatch: pytest.MonkeyPatch) -> None:
    found = detections((0.9, 1, (10, 10, 60, 60)))
    drawn = colours(draw_detections(BLANK, found, None, NAMES))
    assert GREY in drawn
    assert not {BLUE, ORANGE} & drawn
    assert labels_of(monkeypatch, found, None, NAMES) == ["apple 0.90"]


def test_colour_of_an_outline_says_hit_or_miss() -> None:
    found = detections((0.9, 1, (10, 40, 60, 90)), (0.8, 2, (90, 40, 150, 90)))
    drawn = draw_detections(BLANK, found, truth((10, 40, 60, 90)), NAMES)
    assert tuple(drawn[70, 11]) == BLUE
    assert tuple(drawn[70, 91]) == ORANGE


def test_order_of_the_detections_does_not_matter() -> None:
    rows = [(0.5, 1, (5.0, 5, 80, 80)), (0.9, 1, (10, 10, 60, 60)), (0.7, 2, (50, 50, 100, 100))]
    known = truth((10, 10, 60, 60))
    one, other = (draw_detections(BLANK, detections(*r), known, NAMES) for r in (rows, rows[::-1]))
    np.testing.assert_array_equal(one, other)


def test_the_image_itself_is_left_alone_and_scaled_when_asked() -> None:
    image = BLANK.copy()
    drawn = draw_detections(image, detections((0.5, 2, (0, 0, 160, 120))), None, NAMES, longer_side=320)
    assert drawn.shape == (240, 320, 3)
    np.testing.assert_array_equal(image, BLANK)


def test_nothing_to_draw_gives_the_image_back() -> None:
    np.testing.assert_array_equal(draw_detections(BLANK, detections(), truth(), NAMES), BLANK)


@pytest.mark.parametrize("box", [(-1e9, -1e9, 1e9, 1e9), (300, 300, 400, 400), (60, 60, 60, 60), (50, 50, 20, 20)])
def test_boxes_outside_inverted_or_empty_are_drawn_without_harm(box: tuple[float, ...]) -> None:
    drawn = draw_detections(BLANK, detections((0.5, 1, box)), truth(box), NAMES)
    assert drawn.shape == BLANK.shape
