import numpy as np

from detector.drawing.class_boxes import COLOURS, class_colour, draw_boxes
from detector.records import Image

GREY = np.full((120, 200, 3), 128, np.uint8)


def draw(*boxes: list[float], labels: list[int], texts: list[str]) -> Image:
    return draw_boxes(GREY, np.array(boxes, np.float32).reshape(-1, 4), np.array(labels, np.int64), texts)


def test_a_box_has_the_colour_of_its_class_and_the_inside_is_seen() -> None:
    drawn = draw([40, 50, 140, 110], labels=[3], texts=["cat 0.90"])
    assert tuple(drawn[80, 40]) == class_colour(3)
    assert tuple(drawn[110, 90]) == class_colour(3)
    assert tuple(drawn[80, 90]) == (128, 128, 128)
    assert (GREY == 128).all()


def test_the_first_box_lies_on_top() -> None:
    drawn = draw([40, 50, 140, 110], [40, 50, 140, 110], labels=[1, 2], texts=["a", "b"])
    assert tuple(drawn[110, 90]) == class_colour(1)


def test_a_box_beyond_the_image_is_drawn_along_its_edge() -> None:
    drawn = draw([-50, -50, 400, 400], labels=[1], texts=["everything"])
    assert tuple(drawn[60, 0]) == class_colour(1)
    assert tuple(drawn[119, 100]) == class_colour(1)


def test_nothing_changes_without_boxes() -> None:
    np.testing.assert_array_equal(draw(labels=[], texts=[]), GREY)


def test_colours_begin_again_and_are_dark_enough_for_white_letters() -> None:
    assert class_colour(1) == class_colour(len(COLOURS) + 1)
    for colour in COLOURS:
        linear = [c / 12.92 if c <= 0.03928 else ((c + 0.055) / 1.055) ** 2.4 for c in (v / 255 for v in colour)]
        luminance = 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]
        assert 1.05 / (luminance + 0.05) >= 4.5  # WCAG 2, AA
