"""The themed synthetic set: what meets what, and that nothing but company tells a blurred object from its twin."""

import functools
import json
import xml.etree.ElementTree as ElementTree
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest

from detector.config import DataSettings
from detector.data.readers import open_dataset
from detector.errors import ConfigError, DataError
from detector.records import Array, Float64
from detector.synthetic.detection_set import SetSplit, _scene, class_list, image_id, make_dataset
from detector.synthetic.painting import paint
from detector.synthetic.scenes import Scene, _Canvas, _place_object, _visible_truth, compose
from detector.synthetic.themes import MAX_THEMED_CLASSES, MIN_CLASSES, ThemedWorld

IMAGES, VAL, CLASSES, SEED, WIDTH, CONTEXT = 16, 4, 4, 7, 96.0, 0.5


def write(out: Path, workers: int = 1, context: float | None = CONTEXT) -> None:
    make_dataset(out, IMAGES, CLASSES, SEED, val=VAL, mean_width=WIDTH, context=context, workers=workers)


@pytest.fixture(scope="module")
def tree(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("themed")
    write(out)
    return out


def contents(folder: Path) -> dict[str, bytes]:
    return {str(p.relative_to(folder)): p.read_bytes() for p in sorted(folder.rglob("*")) if p.is_file()}


def scenes(world: ThemedWorld, count: int) -> Iterator[Scene]:
    for index in range(count):
        yield compose(np.random.default_rng([1, index]), world, index % world.classes + 1, WIDTH)


@pytest.mark.parametrize("classes", [MIN_CLASSES, 10, 20, 62, MAX_THEMED_CLASSES])
def test_twins_share_their_outline_and_neither_texture_nor_theme(classes: int) -> None:
    world = ThemedWorld(classes, 1)
    labels = np.arange(1, classes + 1)
    themes = world.theme(labels)
    twins = np.array([world.twin(label) for label in labels.tolist()])
    assert (twins[twins - 1] == labels).all() and (themes[twins - 1] != themes).all()
    assert set(themes.tolist()) == set(range(world.themes))
    assert np.ptp(np.bincount(themes)) <= 1
    assert len({world.name(label) for label in labels.tolist()}) == classes
    random = np.random.default_rng(0)
    for label, twin in zip(labels.tolist(), twins.tolist(), strict=True):
        pairs = zip(world.outline(label), world.outline(twin), strict=True)
        assert all(np.array_equal(mine, theirs) for mine, theirs in pairs)
        assert world.surface(label, random).family != world.surface(twin, random).family


@pytest.mark.parametrize(("classes", "by_chance"), [(10, 4 / 9), (40, 3 / 39)])
def test_classes_that_meet_in_an_image_mostly_share_a_theme(classes: int, by_chance: float) -> None:
    world = ThemedWorld(classes, 0.5)
    together = []
    for scene in scenes(world, 250):
        themes = world.theme(np.unique(scene.truth.labels))
        first, second = np.triu_indices(len(themes), 1)
        together.extend((themes[first] == themes[second]).tolist())
    assert len(together) > 100
    assert np.mean(together) > max(0.7, 1.5 * by_chance)


def test_the_asked_share_of_the_objects_is_out_of_focus() -> None:
    layers = [layer for scene in scenes(ThemedWorld(10, 0.8), 120) for layer in scene.layers]
    assert np.mean([not layer.surface.in_focus for layer in layers if layer.label]) == pytest.approx(0.8, abs=0.06)
    assert all(layer.surface.in_focus for layer in layers if not layer.label)


def with_twins(scene: Scene, world: ThemedWorld) -> Scene:
    """The scene with every object's twin in its place."""
    random = np.random.default_rng(0)
    layers = [
        replace(layer, label=world.twin(layer.label), surface=world.surface(world.twin(layer.label), random))
        if layer.label
        else layer
        for layer in scene.layers
    ]
    return replace(scene, layers=tuple(layers))


@pytest.mark.parametrize(("blurred", "equal"), [(1.0, True), (0.0, False)])
def test_out_of_focus_a_scene_with_all_twins_exchanged_is_the_same_picture(blurred: float, equal: bool) -> None:
    world = ThemedWorld(10, blurred)
    for number, scene in enumerate(scenes(world, 8)):
        if len(scene.truth.labels):
            mine = paint(scene, np.random.default_rng(number))
            theirs = paint(with_twins(scene, world), np.random.default_rng(number))
            assert np.array_equal(mine, theirs) == equal


@functools.cache
def portrait(blurred: float, label: int, number: int, side: int = 128) -> Array:
    """The middle of a picture of one large object."""
    world = ThemedWorld(10, blurred)
    random = np.random.default_rng([number, label])
    canvas = _Canvas(side, side)
    _place_object(random, canvas, world, label, 0.8)
    scene = Scene(tuple(canvas.layers), canvas.owner, _visible_truth(canvas))
    return paint(scene, random)[side // 4 : -side // 4, side // 4 : -side // 4]


def texture_of(crop: Array) -> Float64:
    """The spectrum of a square crop, in which its pattern shows."""
    grey, side = crop.mean(axis=2), len(crop)
    even = (grey - grey.mean()) / (grey.std() + 1) * np.outer(np.hanning(side), np.hanning(side))
    spectrum = np.abs(np.fft.fftshift(np.fft.fft2(even)))
    return np.sqrt(cv2.GaussianBlur(spectrum, (0, 0), 1))[side // 4 : -side // 4, side // 4 : -side // 4].ravel()


def colour_of(crop: Array) -> Float64:
    """Mean and deviation of the colours."""
    return np.concatenate([crop.mean(axis=(0, 1)), crop.std(axis=(0, 1))])


@pytest.mark.parametrize(
    ("describe", "blurred", "least", "most"),
    [
        (texture_of, 0.0, 0.68, 1.0),
        (texture_of, 1.0, 0.35, 0.6),
        (colour_of, 0.0, 0.35, 0.62),
        (colour_of, 1.0, 0.35, 0.62),
    ],
)
def test_the_nearest_template_tells_twins_apart_by_texture_and_in_focus_only(
    describe: Callable[[Array], Float64], blurred: float, least: float, most: float
) -> None:
    world = ThemedWorld(10, blurred)
    right = []
    for label in (1, 3, 4, 5):  # not the ring, whose middle is a hole
        pair = (label, world.twin(label))
        templates = [np.mean([describe(portrait(blurred, k, n)) for n in range(20)], axis=0) for k in pair]
        for place, k in enumerate(pair):
            found = [describe(portrait(blurred, k, n)) for n in range(100, 120)]
            far = [np.linalg.norm(found - template, axis=1) for template in templates]
            right.extend((far[place] < far[1 - place]).tolist())
    assert least < np.mean(right) < most


def boxes_of(scene: Scene) -> list[list[int]]:
    """The boxes as the XML states them."""
    return [[x1, y1, x2 - 1, y2 - 1] for x1, y1, x2, y2 in scene.truth.boxes.astype(int).tolist()]


def boxes_in_xml(tree: Path, split: SetSplit, index: int) -> list[list[int]]:
    path = tree / "Annotations" / "DET" / split / f"{image_id(split, index)}.xml"
    if not path.exists():
        return []
    items = ElementTree.parse(path).iter("object")
    return [[int(item.findtext(f"bndbox/{k}") or "") for k in ("xmin", "ymin", "xmax", "ymax")] for item in items]


def test_the_facts_name_the_themes_the_twins_and_the_blurred_objects(tree: Path) -> None:
    facts = json.loads((tree / "context.json").read_text())
    world, names = ThemedWorld(CLASSES, CONTEXT), class_list(CLASSES, CONTEXT).names
    assert facts["context"] == CONTEXT
    assert [theme["classes"] for theme in facts["themes"]] == [list(names[:2]), list(names[2:])]
    assert facts["twins"] == [[names[0], names[2]], [names[1], names[3]]]
    assert [len(facts["images"][split]) for split in ("train", "val")] == [IMAGES, VAL]
    splits: tuple[tuple[SetSplit, int], ...] = (("train", IMAGES), ("val", VAL))
    for split, count in splits:
        for index in range(count):
            here = facts["images"][split][image_id(split, index)]
            scene = _scene(index, world, SEED, split, WIDTH)
            layers = [layer for layer in scene.layers if layer.label]
            blurred = [
                box for box, layer in zip(boxes_of(scene), layers, strict=True) if not layer.surface.in_focus
            ]
            boxes = boxes_in_xml(tree, split, index)
            assert [boxes[position] for position in here["blurred"]] == [box for box in blurred if box in boxes]
            hue = here["theme"] / world.themes
            assert [layer.surface.hue for layer in scene.layers if layer.surface.hue is not None] == [hue]


def test_the_number_of_workers_does_not_change_a_byte(tree: Path, tmp_path: Path) -> None:
    write(tmp_path, workers=2)
    assert contents(tmp_path) == contents(tree)


def test_a_themed_set_is_read_as_any_other(tree: Path) -> None:
    settings = DataSettings(root=tree, classes=Path("synsets.csv"))
    dataset = open_dataset(settings, ("val",))
    assert dataset.classes.names == class_list(CLASSES, CONTEXT).names
    assert len(dataset) == VAL


def test_a_plain_set_says_nothing_of_context_and_no_themed_one_is_taken_for_it(tree: Path, tmp_path: Path) -> None:
    make_dataset(tmp_path, 2, CLASSES, SEED, val=1, mean_width=WIDTH)
    assert "context" not in json.loads((tmp_path / "synthetic.json").read_text())
    assert not (tmp_path / "context.json").exists()
    with pytest.raises(DataError, match=r"^output must hold a set with context None, got 0.5 \("):
        write(tree, context=None)


@pytest.mark.parametrize(
    ("context", "classes", "message"),
    [
        (1.5, 4, "context must be in 0..1, got 1.5"),
        (0.5, 5, "classes must be an even number in 4..160 with context, got 5"),
        (0.5, 2, "classes must be an even number in 4..160 with context, got 2"),
        (0.0, 200, "classes must be an even number in 4..160 with context, got 200"),
    ],
)
def test_numbers_that_make_no_themes_are_refused(
    tmp_path: Path, context: float, classes: int, message: str
) -> None:
    with pytest.raises(ConfigError) as caught:
        make_dataset(tmp_path, 4, classes, 0, context=context)
    assert str(caught.value) == message
    assert not any(tmp_path.iterdir())
