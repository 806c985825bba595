"""The synthetic set: its statistics, its files, and that its classes cannot be told by colour."""

import json
import xml.etree.ElementTree as ElementTree
from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np
import pytest

from detector.data.classes import read_classes
from detector.errors import ConfigError, DataError
from detector.records import Array, Float64
from detector.synthetic.detection_set import SetSplit, class_list, image_id, make_dataset, render_image
from detector.synthetic.scenes import MAX_CLASSES, MIN_VISIBLE, PlainWorld, Scene, compose
from detector.synthetic.shapes import SHAPES, bend, class_outline, clutter_outline
from detector.synthetic.textures import TEXTURES, texture_tiles

IMAGES, VAL, CLASSES, SEED, WIDTH = 80, 60, 4, 7, 96.0


def scenes(count: int, classes: int, width: float = WIDTH) -> Iterator[Scene]:
    for index in range(count):
        yield compose(np.random.default_rng([1, index]), PlainWorld(classes), index % classes + 1, width)


def write(out: Path, seed: int = SEED) -> None:
    make_dataset(out, IMAGES, CLASSES, seed, val=VAL, exhaustive=0.5, mean_width=WIDTH)


def write_few(out: Path, workers: int = 1) -> None:
    make_dataset(out, 10, CLASSES, SEED, val=4, exhaustive=0.5, mean_width=WIDTH, workers=workers)


def contents(folder: Path) -> dict[str, bytes]:
    return {str(p.relative_to(folder)): p.read_bytes() for p in sorted(folder.rglob("*")) if p.is_file()}


@pytest.fixture(scope="module")
def tree(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("synthetic")
    write(out)
    return out


@pytest.fixture(scope="module")
def few(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("few")
    write_few(out)
    return out


def boxes_in_xml(tree: Path, split: SetSplit, index: int) -> list[tuple[int, ...]]:
    """(label, x1, y1, x2, y2) of every object of the file, in continuous pixels; empty where there is no file."""
    path = tree / "Annotations" / "DET" / split / f"{image_id(split, index)}.xml"
    if not path.exists():
        return []
    classes = read_classes(tree / "synsets.csv")
    rows: list[tuple[int, ...]] = []
    for item in ElementTree.parse(path).iter("object"):
        x1, x2, y1, y2 = (int(item.findtext(f"bndbox/{k}") or "") for k in ("xmin", "xmax", "ymin", "ymax"))
        rows.append((classes.label(item.findtext("name") or "") or 0, x1, y1, x2 + 1, y2 + 1))
    return rows


def objects(split: SetSplit, index: int) -> list[tuple[int, ...]]:
    """All objects of an image, as `boxes_in_xml`."""
    _, truth = render_image(index, classes=CLASSES, seed=SEED, split=split, mean_width=WIDTH)
    table = np.column_stack([truth.labels, truth.boxes.astype(int)])
    return [tuple(row) for row in table.tolist()]


def listed(tree: Path) -> dict[tuple[str, int], int]:
    """The status of (image id, label) in all training lists."""
    status = {}
    for label in range(1, CLASSES + 1):
        for line in (tree / "ImageSets" / "DET" / f"train_{label}.txt").read_text().splitlines():
            name, value = line.split()
            status[name, label] = int(value)
    return status


def test_scenes_have_the_statistics_of_the_ilsvrc_validation_set() -> None:
    counts, classes, scales, shapes = [], [], [], []
    for scene in scenes(1000, 200):
        height, width = scene.owner.shape
        sides = scene.truth.boxes[:, 2:] - scene.truth.boxes[:, :2]
        counts.append(len(sides))
        classes.append(len(set(scene.truth.labels.tolist())))
        scales.extend(sides.prod(axis=1) / (height * width))
        shapes.append((width, height))
    assert np.mean(counts) == pytest.approx(2.758, rel=0.05)
    assert np.mean(classes) == pytest.approx(1.534, rel=0.03)
    assert np.mean(scales) == pytest.approx(0.170, rel=0.05)
    assert np.mean(shapes, axis=0) == pytest.approx([WIDTH, WIDTH * 415 / 482], rel=0.02)
    assert np.mean(np.array(counts) == 0) == pytest.approx(0.068, abs=0.02)
    assert np.mean(np.array(counts) == 1) == pytest.approx(0.39, abs=0.04)
    assert max(counts) > 15
    assert min(scales) < 0.008 and max(scales) > 0.85


def test_a_box_holds_exactly_the_visible_pixels_of_its_object() -> None:
    for scene in scenes(40, 10):
        numbers = [n for n, layer in enumerate(scene.layers, 1) if layer.label]
        assert [scene.layers[n - 1].label for n in numbers] == scene.truth.labels.tolist()
        for number, box in zip(numbers, scene.truth.boxes, strict=True):
            y, x = np.nonzero(scene.owner == number)
            assert box.tolist() == [x.min(), y.min(), x.max() + 1, y.max() + 1]


def test_at_least_half_of_every_object_is_visible() -> None:
    for scene in scenes(40, 10):
        for number, layer in enumerate(scene.layers, 1):
            inside = np.count_nonzero(layer.mask > 127)
            assert not layer.label or np.count_nonzero(scene.owner == number) >= MIN_VISIBLE * inside


def test_every_class_has_its_own_pair_of_shape_and_texture() -> None:
    classes = class_list(MAX_CLASSES)
    assert MAX_CLASSES >= 200
    assert len(set(classes.names)) == len(set(classes.wnids)) == MAX_CLASSES
    first = [name.split() for name in classes.names[: len(TEXTURES)]]
    assert len({shape for _, shape in first}) == len({texture for texture, _ in first}) == len(TEXTURES)


def test_one_class_makes_scenes_of_that_class_alone() -> None:
    assert {label for scene in scenes(30, 1) for label in scene.truth.labels.tolist()} == {1}


@pytest.mark.parametrize("variant", [0, 3])
@pytest.mark.parametrize("family", TEXTURES)
def test_a_texture_wraps_around_and_has_every_grey_equally_often(family: str, variant: int) -> None:
    tile = texture_tiles(family, variant)[0].astype(float)
    assert np.histogram(tile, 4, (0, 256))[0] / tile.size == pytest.approx(0.25, abs=0.05)
    for rows in (tile, tile.T):
        steps = np.abs(np.diff(rows, axis=0)).mean(axis=1)
        assert np.abs(rows[0] - rows[-1]).mean() < 1.1 * steps.max() + 2


@pytest.mark.parametrize("variant", range(4))
@pytest.mark.parametrize("family", SHAPES)
def test_an_outline_fits_the_unit_square_and_its_first_contour_holds_the_others(family: str, variant: int) -> None:
    outer, *holes = class_outline(family, variant)
    assert np.abs(outer).max() < 1.2
    assert np.ptp(outer, axis=0).min() > 0.5
    for hole in holes:
        assert (hole.min(axis=0) > outer.min(axis=0)).all() and (hole.max(axis=0) < outer.max(axis=0)).all()


def test_bending_moves_no_point_farther_than_twice_the_strength() -> None:
    rng = np.random.default_rng(0)
    outline = clutter_outline(rng)
    assert all(np.abs(b - o).max() <= 0.2 for b, o in zip(bend(outline, 0.1, rng), outline, strict=True))


def test_an_image_depends_on_seed_split_and_index() -> None:
    def image(index: int = 3, seed: int = 0, split: SetSplit = "train") -> Array:
        return render_image(index, classes=10, seed=seed, split=split, mean_width=64)[0]

    first = image()
    assert first.dtype == np.uint8 and first.ndim == 3
    assert np.array_equal(first, image())
    for other in (image(index=4), image(seed=1), image(split="val")):
        assert not np.array_equal(first, other)


def colour_histograms(split: SetSplit, count: int) -> tuple[Float64, Array]:
    """Square roots of the 8x8x8 RGB histograms of all boxes of `count` images, and the labels."""
    rows, labels = [], []
    for index in range(count):
        image, truth = render_image(index, classes=10, seed=2, split=split, mean_width=128)
        for (x1, y1, x2, y2), label in zip(truth.boxes.astype(int), truth.labels, strict=True):
            bins = (image[y1:y2, x1:x2] // 32).reshape(-1, 3) @ np.array([64, 8, 1])
            rows.append(np.sqrt(np.bincount(bins, minlength=512) / len(bins)))
            labels.append(label)
    return np.array(rows), np.array(labels)


def test_colour_tells_next_to_nothing_about_the_class() -> None:
    known, known_labels = colour_histograms("train", 120)
    new, new_labels = colour_histograms("val", 80)
    similarity = new @ known.T  # Bhattacharyya
    for neighbours in (1, 7):
        nearest = np.argsort(-similarity, axis=1)[:, :neighbours]
        votes = np.array([np.bincount(known_labels[row]).argmax() for row in nearest])
        assert (votes == new_labels).mean() < 0.2


def test_the_tree_has_the_2015_layout(tree: Path) -> None:
    assert {p.name for p in tree.iterdir()} == {
        *("Data", "Annotations", "ImageSets", "synsets.csv", "det_validation_blacklist.txt", "synthetic.json")
    }
    assert len(list((tree / "Data/DET/train").glob("*.JPEG"))) == IMAGES
    assert len(list((tree / "Data/DET/val").glob("*.JPEG"))) == VAL
    lists = {p.name for p in (tree / "ImageSets/DET").iterdir()}
    assert lists == {"val.txt", *(f"train_{label}.txt" for label in range(1, CLASSES + 1))}
    assert (tree / "ImageSets/DET/val.txt").read_text().splitlines()[0] == "synthetic_val_00000001 1"
    assert read_classes(tree / "synsets.csv") == class_list(CLASSES)


def test_annotations_state_the_size_of_the_image_and_some_images_have_none(tree: Path) -> None:
    pictures = sorted((tree / "Data/DET").rglob("*.JPEG"))
    annotations = sorted((tree / "Annotations/DET").rglob("*.xml"))
    assert 0.9 * len(pictures) < len(annotations) < len(pictures)
    for path in annotations:
        root = ElementTree.parse(path).getroot()
        image = cv2.imread(str(tree / "Data/DET" / path.parent.name / f"{path.stem}.JPEG"))
        assert image is not None
        assert [int(root.findtext(f"size/{k}") or "") for k in ("height", "width")] == list(image.shape[:2])


def test_a_jpeg_holds_the_rendered_image_in_rgb(tree: Path) -> None:
    image, _ = render_image(0, classes=CLASSES, seed=SEED, mean_width=WIDTH)
    stored = cv2.imread(str(tree / "Data/DET/train" / f"{image_id('train', 0)}.JPEG"))
    assert stored is not None
    assert np.abs(stored[..., ::-1].astype(int) - image).mean() < 8


def test_train_lists_say_what_is_boxed(tree: Path) -> None:
    status = listed(tree)
    seen = set()
    for index in range(IMAGES):
        everything, boxed = objects("train", index), boxes_in_xml(tree, "train", index)
        assert set(boxed) <= set(everything)
        for label in range(1, CLASSES + 1):
            here = [row for row in everything if row[0] == label]
            drawn = [row for row in boxed if row[0] == label]
            value = status.get((image_id("train", index), label))
            seen.add((value, bool(here)))
            match value:
                case 1:
                    assert drawn == here and here
                case 0:
                    assert 0 < len(drawn) < len(here)
                case -1:
                    assert not here
                case None:
                    assert not drawn
    assert seen == {(1, True), (0, True), (-1, False), (None, True), (None, False)}


def test_every_training_image_is_listed(tree: Path) -> None:
    assert {name for name, _ in listed(tree)} == {image_id("train", index) for index in range(IMAGES)}


def test_every_class_has_positive_training_images(tree: Path) -> None:
    assert {label for (_, label), value in listed(tree).items() if value == 1} == set(range(1, CLASSES + 1))


def test_the_asked_share_of_training_images_is_labelled_for_every_class(tree: Path) -> None:
    status = listed(tree)
    full = [
        all(abs(status.get((image_id("train", i), c), 0)) for c in range(1, CLASSES + 1)) for i in range(IMAGES)
    ]
    assert 0.3 < np.mean(full) < 0.8


def test_validation_boxes_are_complete_but_for_the_blacklist(tree: Path) -> None:
    wnids = class_list(CLASSES).wnids
    lines = [line.split() for line in (tree / "det_validation_blacklist.txt").read_text().splitlines()]
    blacklist = {(int(number) - 1, wnids.index(wnid) + 1) for number, wnid in lines}
    assert blacklist
    for index in range(VAL):
        missing = set(objects("val", index)) - set(boxes_in_xml(tree, "val", index))
        assert {(index, row[0]) for row in missing} == {pair for pair in blacklist if pair[0] == index}


def test_the_number_of_workers_does_not_change_a_byte(few: Path, tmp_path: Path) -> None:
    write_few(tmp_path, workers=2)
    assert contents(tmp_path) == contents(few)


def test_an_interrupted_run_is_completed_to_the_same_bytes(few: Path, tmp_path: Path) -> None:
    write_few(tmp_path)
    marker = tmp_path / "synthetic.json"
    marker.write_text(json.dumps({**json.loads(marker.read_text()), "finished": False}))
    (tmp_path / "ImageSets/DET/val.txt").unlink()
    (tmp_path / "Data/DET/train/.half.JPEG.tmp").touch()
    for name in (image_id("train", 5), image_id("train", 6)):
        (tmp_path / "Data/DET/train" / f"{name}.JPEG").unlink()
    (tmp_path / "Annotations/DET/train" / f"{image_id('train', 5)}.xml").unlink(missing_ok=True)
    write_few(tmp_path)
    assert contents(tmp_path) == contents(few)


def test_a_finished_set_is_left_as_it_is(tree: Path) -> None:
    before = {path: path.stat().st_mtime_ns for path in tree.rglob("*")}
    write(tree)
    assert {path: path.stat().st_mtime_ns for path in tree.rglob("*")} == before


def test_a_set_of_other_settings_is_refused(tree: Path) -> None:
    with pytest.raises(DataError, match=r"^output must hold a set with seed 8, got 7 \(.*synthetic.json\)$"):
        write(tree, seed=8)


def test_a_folder_with_other_files_is_refused(tmp_path: Path) -> None:
    (tmp_path / "holiday.jpg").touch()
    with pytest.raises(
        DataError, match=r"^output must be an empty folder or a synthetic set, got .* other files$"
    ):
        write(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["holiday.jpg"]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[1]", r"^output must be an empty folder or a synthetic set, got .* other files$"),
        ('{"seed": 7}', r"^output must be an empty folder or a synthetic set, got .* other files$"),
        ("{", r"^marker of a synthetic set must be valid JSON, got .*synthetic.json"),
    ],
)
def test_a_folder_with_a_foreign_marker_is_refused(text: str, message: str, tmp_path: Path) -> None:
    (tmp_path / "synthetic.json").write_text(text)
    with pytest.raises(DataError, match=message):
        write(tmp_path)


def test_a_file_is_refused_as_output(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(DataError, match=r"^output must be a folder, got .*file, a file$"):
        write(tmp_path / "file")


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"images": 0}, "images must be at least 1, got 0"),
        ({"classes": 0}, "classes must be in 1..240, got 0"),
        ({"classes": 241}, "classes must be in 1..240, got 241"),
        ({"seed": -1}, "seed must be at least 0, got -1"),
        ({"val": 0}, "val must be at least 1, got 0"),
        ({"exhaustive": 1.5}, "exhaustive must be in 0..1, got 1.5"),
        ({"mean_width": 8.0}, "mean width must be at least 48, got 8.0"),
        ({"workers": 0}, "workers must be at least 1, got 0"),
    ],
)
def test_a_number_out_of_range_is_refused(tmp_path: Path, changes: dict[str, float], message: str) -> None:
    settings = {"images": 4, "classes": 2, "seed": 0, **changes}
    with pytest.raises(ConfigError) as caught:
        make_dataset(tmp_path, **settings)  # type: ignore[arg-type]
    assert str(caught.value) == message
