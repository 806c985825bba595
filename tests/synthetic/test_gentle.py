"""The gentle synthetic world: few things, none small, each class in its colour."""

import colorsys
from pathlib import Path

import numpy as np
import pytest

from detector.boxes import box_area
from detector.errors import ConfigError
from detector.synthetic.detection_set import make_dataset, render_image
from detector.synthetic.gentle import GENTLE, MAX_GENTLE_CLASSES, GentleWorld
from detector.synthetic.scenes import PlainWorld, compose

CLASSES = 5


def test_its_scenes_hold_few_things_and_no_small_object() -> None:
    world = GentleWorld(CLASSES)
    for index in range(100):
        scene = compose(np.random.default_rng([2, index]), world, index % CLASSES + 1, 120.0)
        boxes, labels = scene.truth.boxes, scene.truth.labels
        assert len(labels) <= GENTLE.objects and len(scene.layers) - len(labels) < GENTLE.behind[1]
        shares = box_area(boxes) / scene.owner.size
        assert (shares > 0.3 * GENTLE.smallest).all()  # a part of an object may be hidden


def test_a_plain_world_is_as_it_was() -> None:
    """Figures of the first version, which every documented set was made by."""
    image, truth = render_image(0, classes=5, seed=0, mean_width=64)
    gentle, _ = render_image(0, classes=5, seed=0, mean_width=64, gentle=True)
    assert image.shape == gentle.shape == (50, 66, 3)
    assert truth.labels.tolist() == [1, 1, 3, 5] and int(image.sum()) == 1_035_334
    assert not np.array_equal(image, gentle)


@pytest.mark.parametrize("label", range(1, CLASSES + 1))
def test_each_class_has_its_hue(label: int) -> None:
    world = GentleWorld(CLASSES)
    surface = world.surface(label, np.random.default_rng(0))
    assert surface.hue == (label - 1) / CLASSES
    assert surface.family == PlainWorld(CLASSES).surface(label, np.random.default_rng(0)).family


def test_the_middle_of_an_object_shows_the_hue_of_its_class() -> None:
    near = []
    for index in range(60):
        image, truth = render_image(index, classes=CLASSES, seed=4, mean_width=160, gentle=True)
        for (x1, y1, x2, y2), label in zip(truth.boxes.astype(int), truth.labels.tolist(), strict=True):
            part = image[(2 * y1 + y2) // 3 : (y1 + 2 * y2) // 3, (2 * x1 + x2) // 3 : (x1 + 2 * x2) // 3]
            hue = colorsys.rgb_to_hsv(*np.median(part, axis=(0, 1)) / 255)[0]
            away = abs(hue - (label - 1) / CLASSES)
            near.append(min(away, 1 - away) < 0.5 / CLASSES)
    assert len(near) > 60 and np.mean(near) > 0.6  # by chance 0.2; rings show what is behind them


@pytest.mark.parametrize(
    ("classes", "context", "wanted"),
    [(MAX_GENTLE_CLASSES + 1, None, r"classes must be in 1\.\.12"), (4, 0.5, "context must be left out")],
)
def test_what_there_is_no_gentle_world_of_is_refused(
    tmp_path: Path, classes: int, context: float | None, wanted: str
) -> None:
    with pytest.raises(ConfigError, match=wanted):
        make_dataset(tmp_path / "set", 2, classes, 0, context=context, gentle=True)
    assert not (tmp_path / "set").exists()
