"""Annotations, lists, images and results that are damaged: read, or refused in one line; the check agrees."""

import io
import json
import random
from collections.abc import Callable, Mapping
from pathlib import Path

import cv2
import numpy as np
import PIL.Image
import pytest
from fuzz.conftest import run_command, time_limit, tries
from mutations import damaged_bytes, damaged_json, damaged_text, damaged_xml
from trees import annotation_text, coco_tree, write_image, write_lines

from detector import commands
from detector.config import DataSettings
from detector.data.dataset import Dataset
from detector.data.exchange.given_proposals import GivenProposals
from detector.data.images import read_image, read_size
from detector.data.readers import open_dataset
from detector.errors import ConfigError, DataError

Damage = Callable[[str, random.Random], str]
TRAIN, TEST = "train", "test"


def voc(root: Path) -> Path:
    """Images and XML files side by side, with lists; the file to damage is the first XML."""
    for split, name in ((TRAIN, "a"), (TRAIN, "b.c"), (TEST, "d e")):
        write_image(root / split / f"{name}.jpg")
        text = annotation_text([("cat", (2, 2, 20, 30)), ("dog", (5.5, 6, 50, 39))])
        (root / split / f"{name}.xml").write_text(text)
    return root / TRAIN / "a.xml"


def voc_list(root: Path) -> Path:
    """The same by a list."""
    voc(root)
    return write_lines(root / "train.txt", "train/a", "train/b.c", "test/d e")


def coco(root: Path) -> Path:
    """Two splits with the same categories."""
    tree = coco_tree()
    for split in (TRAIN, TEST):
        for image in tree["images"]:
            write_image(root / split / f"{image['file_name']}", 40, 60 + len(split))
        path = root / "annotations" / f"instances_{split}.json"
        path.parent.mkdir(exist_ok=True, parents=True)
        path.write_text(json.dumps(tree))
    return root / "annotations" / "instances_train.json"


def ilsvrc(root: Path) -> Path:
    """The layout of 2015 in small, with lists by class."""
    for split, name in (("train", "n1"), ("train", "n2"), ("val", "v1")):
        write_image(root / f"Data/DET/{split}/{name}.JPEG")
        xml = root / f"Annotations/DET/{split}/{name}.xml"
        xml.parent.mkdir(parents=True, exist_ok=True)
        xml.write_text(annotation_text([("cat", (2, 2, 20, 30))]))
    lists = root / "ImageSets/DET"
    write_lines(lists / "val.txt", "v1 1")
    write_lines(root / "classes.csv", "id,wnid,name", "1,n01,cat", "2,n02,dog")
    write_lines(root / "blacklist.txt", "1 n02")
    return write_lines(lists / "train_1.txt", "n1 1", "n2 -1")


def ilsvrc_classes(root: Path) -> Path:
    """The same; its class list is damaged."""
    ilsvrc(root)
    return root / "classes.csv"


def ilsvrc_blacklist(root: Path) -> Path:
    """The same; its blacklist is damaged."""
    ilsvrc(root)
    return root / "blacklist.txt"


KINDS: dict[str, tuple[Callable[[Path], Path], Mapping[str, object]]] = {
    "voc": (voc, {"format": "voc", "train": (TRAIN,), "test": (TEST,)}),
    "voc_list": (voc_list, {"format": "voc", "train": ("train.txt",), "test": (TEST,)}),
    "coco": (coco, {"format": "coco", "train": (TRAIN,), "test": (TEST,)}),
    "ilsvrc": (ilsvrc, {"classes": Path("classes.csv"), "blacklist": Path("blacklist.txt")}),
    "ilsvrc_classes": (ilsvrc_classes, {"classes": Path("classes.csv"), "blacklist": Path("blacklist.txt")}),
    "ilsvrc_blacklist": (ilsvrc_blacklist, {"classes": Path("classes.csv"), "blacklist": Path("blacklist.txt")}),
}


@pytest.fixture(scope="module", autouse=True)
def _compiled(tmp_path_factory: pytest.TempPathFactory) -> None:
    """What is compiled once is no part of a try's time."""
    root = tmp_path_factory.mktemp("whole")
    voc(root)
    (root / "c.yaml").write_text(json.dumps({"data": {"format": "voc", "root": str(root), "test": TEST}}))
    commands.main(["check_data", str(root / "c.yaml"), "--decode", "--html", str(root / "page.html")])


def read_or_refuse(settings: DataSettings, split: str) -> Dataset | None:
    """The data set, None where it is refused."""
    with time_limit(10):
        try:
            return open_dataset(settings, (split,))
        except (DataError, ConfigError) as error:
            assert str(error).isprintable()
            return None


def damage_file(path: Path, draw: random.Random) -> None:
    """One of the three ways, of the text where it is one."""
    content = path.read_bytes()
    damages: dict[str, Damage] = {".json": damaged_json, ".xml": damaged_xml}
    damage = damages.get(path.suffix, damaged_text)
    if draw.random() < 0.3:
        path.write_bytes(damaged_bytes(content, draw))
    else:
        path.write_bytes(damage(content.decode(), draw).encode("utf-8", "surrogatepass"))


@pytest.mark.parametrize("kind", KINDS)
@tries(10)
def test_damaged_annotations_are_read_or_refused_and_the_check_tells(kind: str, seed: int, tmp_path: Path) -> None:
    write, settings = KINDS[kind]
    root = tmp_path / "data"
    damage_file(write(root), random.Random(f"{kind} {seed}"))
    data = DataSettings.model_validate({"root": root, "test": ("val",), **settings})
    config = tmp_path / "c.yaml"
    config.write_text(json.dumps({"data": data.model_dump(mode="json")}))
    read = [read_or_refuse(data, split) for split in (*data.train, *data.test)]
    told = run_command("check_data", str(config), "--decode", "--html", str(tmp_path / "page.html"))
    if None in read:
        assert told.status != 0, told


@pytest.mark.parametrize("suffix", [".jpg", ".png", ".bmp", ".gif", ".tif", ".webp"])
@tries(10)
def test_damaged_images_are_read_or_refused(suffix: str, seed: int, tmp_path: Path) -> None:
    draw = random.Random(f"{suffix} {seed}")
    pixels = np.random.default_rng(seed).integers(0, 256, (40, 60, 3), np.uint8)
    path = tmp_path / f"image{suffix}"
    PIL.Image.fromarray(cv2.blur(pixels, (5, 5))).save(path)
    path.write_bytes(damaged_bytes(path.read_bytes(), draw))
    found = []
    for read in (lambda: read_image(path).shape[:2], lambda: read_size(path)):
        with time_limit(10):
            try:
                found.append(read())
            except DataError as error:
                assert str(path) in str(error)
    if len(found) == 2:
        assert found[0] == found[1]


@tries(20)
def test_damaged_coco_results_and_annotations_are_read_or_refused(seed: int, tmp_path: Path) -> None:
    draw = random.Random(seed)
    results = [
        {"image_id": 12, "category_id": 7, "bbox": [1.5, 2, 10, 20], "score": 0.9},
        {"image_id": 5, "category_id": 3, "bbox": [0, 0, 5, 5], "score": 0.1},
    ]
    (tmp_path / "gt.json").write_text(json.dumps(coco_tree()))
    (tmp_path / "dt.json").write_text(json.dumps(results))
    damage_file(tmp_path / draw.choice(["gt.json", "dt.json"]), draw)
    words = ["--format", "coco", "--annotations", f"{tmp_path}/gt.json", "--detections", f"{tmp_path}/dt.json"]
    protocol = draw.choice(["coco", "voc2010", "ilsvrc"])
    run_command("eval_det", *words, "--protocol", protocol, "--out", f"{tmp_path}/out")
    leftovers = [path for path in tmp_path.rglob("*") if path.name.endswith(".tmp")]
    assert not leftovers


@tries(20)
def test_a_damaged_submission_is_read_or_refused(seed: int, tmp_path: Path) -> None:
    draw = random.Random(seed)
    ilsvrc(tmp_path / "data")
    found = write_lines(tmp_path / "found.txt", "1 1 0.9 2 2 20 30", "1 2 0.5 1 1 9 9")
    damage_file(draw.choice([found, tmp_path / "data/ImageSets/DET/val.txt"]), draw)
    words = ["--format", "ilsvrc", "--annotations", f"{tmp_path}/data/Annotations/DET/val"]
    words += ["--list", f"{tmp_path}/data/ImageSets/DET/val.txt", "--classes", f"{tmp_path}/data/classes.csv"]
    run_command("eval_det", *words, "--detections", str(found), "--out", f"{tmp_path}/out")


@pytest.mark.parametrize("suffix", [".npz", ".json"])
@tries(15)
def test_damaged_proposals_are_read_or_refused(suffix: str, seed: int, tmp_path: Path) -> None:
    draw = random.Random(seed)
    voc(tmp_path)
    dataset = open_dataset(DataSettings(format="voc", root=tmp_path, train=(TRAIN,)), (TRAIN,))
    path = tmp_path / f"mine{suffix}"
    if suffix == ".npz":
        content = io.BytesIO()
        names, boxes = np.array(["a", "b.c"]), np.array([[0, 0, 9, 9], [1, 1, 20, 30.0]])
        np.savez(content, image_ids=names, offsets=np.array([0, 1, 2]), boxes=boxes, scores=np.array([1, 0.5]))
        path.write_bytes(damaged_bytes(content.getvalue(), draw))
    else:
        rows = [
            {"image_id": "a", "bbox": [0, 0, 9, 9], "score": 1},
            {"image_id": "b.c", "bbox": [1, 1, 5, 5], "score": 0},
        ]
        path.write_text(json.dumps(rows))
        damage_file(path, draw)
    with time_limit(10):
        try:
            given = GivenProposals.open(path, dataset)
        except DataError as error:
            assert str(path) in str(error)
            return
        for position in range(len(dataset)):
            boxes = given.read(position).boxes
            assert np.isfinite(boxes).all()
            assert (boxes[:, 2:] > boxes[:, :2]).all()
