import matplotlib
import numpy as np
import pytest
from PIL import Image, ImageDraw, ImageFont

from detector.drawing.plates import Label, draw_labels

INKS = ((10, 0, 0), (20, 0, 0), (30, 0, 0))  # of plates and texts, to find them again


def drawn(boxes: list[tuple[int, ...]], size: tuple[int, int] = (200, 120), below: bool = False) -> np.ndarray:
    canvas = Image.new("RGB", size)
    font = ImageFont.truetype(f"{matplotlib.get_data_path()}/fonts/ttf/DejaVuSans.ttf", 11)
    labels = [Label(box, "apple", ink, ink, below) for box, ink in zip(boxes, INKS, strict=False)]
    draw_labels(ImageDraw.Draw(canvas), font, labels)
    return np.array(canvas)


def plate(pixels: np.ndarray, number: int) -> tuple[int, int, int, int]:
    """Left, top, right, bottom of the pixels of one label."""
    rows, columns = np.nonzero(pixels[..., 0] == INKS[number][0])
    return int(columns.min()), int(rows.min()), int(columns.max()), int(rows.max())


def test_a_label_stands_on_its_box() -> None:
    left, _, _, bottom = plate(drawn([(40, 60, 120, 100)]), 0)
    assert left == 39
    assert bottom == 59


def test_labels_of_equal_boxes_do_not_hide_each_other() -> None:
    one, two, three = (plate(drawn([(40, 60, 120, 100)] * 3), number) for number in range(3))
    areas = [(right - left + 1) * (bottom - top + 1) for left, top, right, bottom in (one, two, three)]
    assert len(set(areas)) == 1  # each is seen whole
    assert len({one[:2], two[:2], three[:2]}) == 3


@pytest.mark.parametrize("box", [(0, 0, 20, 20), (190, 110, 199, 119), (0, 0, 199, 119)])
def test_a_label_stays_in_the_picture(box: tuple[int, ...]) -> None:
    left, top, right, bottom = plate(drawn([box]), 0)
    assert (right - left, bottom - top) == (plate(drawn([(40, 60, 120, 100)]), 0)[2] - 39, 15)


def test_a_label_may_stand_at_the_foot_of_its_box() -> None:
    assert plate(drawn([(40, 30, 120, 100)], below=True), 0)[3] == 99


def test_the_first_label_lies_above_where_there_is_no_room() -> None:
    pixels = drawn([(0, 0, 30, 12)] * 2, size=(30, 14))
    assert set(np.unique(pixels[..., 0])) == {INKS[0][0]}


@pytest.mark.parametrize("text", ["two\nlines", "caf\udce9", "\x1b[31m", "x" * 100_000, "$x", "<b>"])
def test_any_text_is_drawn_on_one_line(text: str) -> None:
    canvas = Image.new("RGB", (200, 60))
    font = ImageFont.truetype(f"{matplotlib.get_data_path()}/fonts/ttf/DejaVuSans.ttf", 11)
    draw_labels(ImageDraw.Draw(canvas), font, [Label((20, 30, 80, 50), text, (0, 0, 255), (255, 255, 255))])
    rows = np.flatnonzero((np.asarray(canvas) == (0, 0, 255)).all(2).any(1))
    assert 0 < len(rows) <= font.size + 5
