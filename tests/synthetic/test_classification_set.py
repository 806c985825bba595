"""The synthetic classification set: its crops, its files, and that it can be completed."""

import json
from pathlib import Path

import numpy as np
import pytest

from detector.data.images import read_image
from detector.data.labelled_images import read_class_names, read_labelled_images
from detector.errors import ConfigError, DataError
from detector.records import Image
from detector.synthetic.classification_set import (
    MAX_SIDE,
    MIN_OBJECT,
    SURROUNDINGS,
    _crop,
    _scene_with,
    make_crops,
    render_crop,
)
from detector.synthetic.detection_set import class_list, make_dataset

IMAGES, VAL, CLASSES, SEED = 11, 5, 3, 7


def write(out: Path, workers: int = 1, seed: int = SEED) -> None:
    make_crops(out, IMAGES, CLASSES, seed, val=VAL, workers=workers)


def contents(folder: Path) -> dict[str, bytes]:
    return {str(p.relative_to(folder)): p.read_bytes() for p in sorted(folder.rglob("*")) if p.is_file()}


@pytest.fixture(scope="module")
def tree(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("crops")
    write(out)
    return out


def test_the_tree_is_read_as_a_labelled_set(tree: Path) -> None:
    classes = read_class_names(tree / "classes.txt")
    assert classes == class_list(CLASSES)
    train = read_labelled_images(tree, "train", classes=classes)
    val = read_labelled_images(tree, "val", classes=classes)
    assert np.bincount(train.labels).tolist() == [0, 4, 4, 3]
    assert np.bincount(val.labels).tolist() == [0, 2, 2, 1]
    assert train.notes == val.notes == ()
    assert train.paths[0] == str(tree / "train" / class_list(1).wnids[0] / "000001.JPEG")


def test_a_file_holds_the_rendered_crop(tree: Path) -> None:
    image, label = render_crop(4, classes=CLASSES, seed=SEED)
    stored = read_image(tree / "train" / class_list(CLASSES).wnids[label - 1] / "000002.JPEG")
    assert label == 2
    assert np.abs(stored.astype(int) - image).mean() < 10


def test_a_crop_depends_on_seed_split_and_index() -> None:
    first = render_crop(3, classes=2, seed=0)[0].tobytes()
    assert render_crop(3, classes=2, seed=0)[0].tobytes() == first
    others = [render_crop(5, classes=2, seed=0), render_crop(3, classes=2, seed=1)]
    others.append(render_crop(3, classes=2, seed=0, split="val"))
    assert all(image.tobytes() != first for image, _ in others)


def test_crops_are_no_larger_than_asked_and_mostly_square() -> None:
    shapes = np.array([render_crop(index, classes=10, seed=1)[0].shape for index in range(60)])
    assert shapes[:, :2].max() == MAX_SIDE
    assert shapes[:, :2].max(axis=1).min() >= MIN_OBJECT
    assert np.mean(shapes[:, 0] == shapes[:, 1]) > 0.5
    assert (shapes[:, 2] == 3).all()


def test_the_object_of_a_crop_has_the_class_and_is_large_enough() -> None:
    for index in range(30):
        scene, box = _scene_with(2, 5, np.random.default_rng([3, index]))
        row = np.flatnonzero((scene.truth.boxes == box).all(axis=1))
        assert scene.truth.labels[row].tolist() == [2]
        assert (box[2:] - box[:2]).max() >= MIN_OBJECT


def places() -> Image:
    """An image (100, 200, 3) whose first channels are x and y."""
    y, x = np.mgrid[:100, :200]
    return np.stack([x, y, 0 * x], axis=2).astype(np.uint8)


@pytest.mark.parametrize("box", [(80, 30, 120, 60), (0, 0, 50, 20), (150, 60, 200, 100), (2, 10, 90, 90)])
def test_a_crop_holds_the_whole_object_with_surroundings(box: tuple[int, ...]) -> None:
    longer = max(box[2] - box[0], box[3] - box[1])
    sides = []
    for seed in range(200):
        crop = _crop(places(), np.array(box, np.float32), np.random.default_rng(seed))
        x1, y1, x2, y2 = *crop[0, 0, :2], *(crop[-1, -1, :2].astype(int) + 1)
        assert x1 <= box[0] and y1 <= box[1] and x2 >= box[2] and y2 >= box[3]
        assert crop.shape[:2] == (y2 - y1, x2 - x1) == (min(100, x2 - x1), x2 - x1)
        sides.append((x2 - x1) / longer)
    low, high = SURROUNDINGS
    assert low - 0.02 < min(sides) < low + 0.03
    assert high - 0.03 < max(sides) < high + 0.02
    assert np.mean(sides) == pytest.approx((low + high) / 2, abs=0.03)


def test_an_object_lies_anywhere_in_its_crop() -> None:
    box = np.array([80, 30, 120, 70], np.float32)
    shares = []
    for seed in range(200):
        crop = _crop(places(), box, np.random.default_rng(seed))
        shares.append((80 - crop[0, 0, 0]) / (crop.shape[1] - 40))  # of the free width that is on the left
    assert np.quantile(shares, [0.1, 0.5, 0.9]) == pytest.approx([0.1, 0.5, 0.9], abs=0.1)


def test_a_crop_larger_than_the_limit_is_shrunk_with_its_shape() -> None:
    image = np.full((300, 600, 3), 9, np.uint8)
    crop = _crop(image, np.array([0, 0, 520, 280], np.float32), np.random.default_rng(0))
    assert crop.shape == (round(300 * MAX_SIDE / 600), MAX_SIDE, 3)
    assert crop.flags.c_contiguous


def test_the_number_of_workers_does_not_change_a_byte(tree: Path, tmp_path: Path) -> None:
    write(tmp_path, workers=2)
    assert contents(tmp_path) == contents(tree)


def test_an_interrupted_run_is_completed_to_the_same_bytes(tree: Path, tmp_path: Path) -> None:
    write(tmp_path)
    marker = tmp_path / "synthetic.json"
    marker.write_text(json.dumps({**json.loads(marker.read_text()), "finished": False}))
    (tmp_path / "classes.txt").unlink()
    folder = tmp_path / "train" / class_list(1).wnids[0]
    (folder / "000002.JPEG").unlink()
    (folder / ".half.JPEG.tmp").touch()
    kept = (folder / "000001.JPEG").stat().st_mtime_ns
    write(tmp_path)
    assert contents(tmp_path) == contents(tree)
    assert (folder / "000001.JPEG").stat().st_mtime_ns == kept


def test_a_finished_set_is_left_as_it_is(tree: Path) -> None:
    before = {path: path.stat().st_mtime_ns for path in tree.rglob("*")}
    write(tree)
    assert {path: path.stat().st_mtime_ns for path in tree.rglob("*")} == before


def test_a_set_of_other_settings_or_for_another_task_is_refused(tree: Path, tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"^output must hold a set with seed 8, got 7 \(.*synthetic.json\)$"):
        write(tree, seed=8)
    with pytest.raises(DataError, match=r"^output must hold a set with task det, got cls \(.*\)$"):
        make_dataset(tree, IMAGES, CLASSES, SEED, val=VAL)
    make_dataset(tmp_path, 1, 1, SEED, val=1, mean_width=64)
    with pytest.raises(DataError, match=r"^output must hold a set with task cls, got det \(.*\)$"):
        write(tmp_path)


@pytest.mark.parametrize(
    ("changes", "wanted"),
    [
        ({"images": 2}, "images must be at least the number of classes, 3, got 2"),
        ({"classes": 241}, "classes must be in 1..240, got 241"),
        ({"val": 0}, "val must be at least 1, got 0"),
        ({"seed": -1}, "seed must be at least 0, got -1"),
    ],
)
def test_a_number_out_of_range_is_refused(tmp_path: Path, changes: dict[str, int], wanted: str) -> None:
    with pytest.raises(ConfigError) as caught:
        make_crops(tmp_path, **{"images": 5, "classes": 3, "seed": 0, **changes})
    assert str(caught.value) == wanted
    assert not list(tmp_path.iterdir())
