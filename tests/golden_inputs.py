"""What the golden tests are made of: a drawn picture, boxes, random weights in the files of others, detections.

Nothing of the project is used, so that they stay as they are; random numbers are numpy's.
"""

import csv
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
import torchvision
from numpy.typing import NDArray

Array = NDArray[Any]
Layers = Iterator[tuple[str, tuple[int, ...]]]  # names and shapes of weights

# arXiv 1409.4842, Table 1: inputs; then 1x1, 3x3 reduce, 3x3, 5x5 reduce, 5x5, pool proj
MODULES = {
    "3a": (192, 64, 96, 128, 16, 32, 32),
    "3b": (256, 128, 128, 192, 32, 96, 64),
    "4a": (480, 192, 96, 208, 16, 48, 64),
    "4b": (512, 160, 112, 224, 24, 64, 64),
    "4c": (512, 128, 128, 256, 24, 64, 64),
    "4d": (512, 112, 144, 288, 32, 64, 64),
    "4e": (528, 256, 160, 320, 32, 128, 128),
    "5a": (832, 256, 160, 320, 32, 128, 128),
    "5b": (832, 384, 192, 384, 48, 128, 128),
}
OUTPUTS = 6

PICTURE = (150, 220)  # height and width
BOXES = np.array(
    [
        [0, 0, 220, 150],  # the picture
        [30, 20, 110, 90],
        [30.5, 20.25, 110.75, 90.5],
        [150, 60, 220, 150],  # its context lies outside
        [5, 100, 205, 112],  # flat
        [97, 61, 103, 70],  # tiny
    ],
    np.float32,
)


def draw_picture() -> Array:
    """Blocks, discs and stripes on a slope of colours, (150, 220, 3) uint8, in whole numbers alone."""
    height, width = PICTURE
    y, x = np.mgrid[:height, :width]
    image = np.stack([40 + x // 2, 200 - y, 90 + (x + y) // 4], axis=2)
    image[20:90, 30:110] = (220, 60, 40)
    image[(x - 175) ** 2 + (y - 105) ** 2 < 35**2] = (30, 90, 210)
    image[(x - 70) ** 2 + (y - 55) ** 2 < 20**2] = (240, 230, 70)
    image[100:112, 5:205] = np.where((x[100:112, 5:205, None] // 5) % 2, (250, 250, 250), (10, 20, 10))
    image[61:70, 97:103] = (0, 255, 120)
    grain = np.random.default_rng(1).integers(-12, 13, image.shape)
    return np.clip(image + grain, 0, 255).astype(np.uint8)


def write_picture(path: Path) -> Path:
    """The drawn picture, without loss."""
    path.parent.mkdir(parents=True, exist_ok=True)
    cv2.imwrite(str(path), draw_picture()[..., ::-1])
    return path


def fractions_of(image: Array) -> Array:
    """Four boxes (4, 4) of a photograph, by its size."""
    height, width = image.shape[:2]
    shares = np.array([[0, 0, 1, 1], [0.25, 0.25, 0.75, 0.75], [0, 0.5, 0.4, 1], [0.6, 0.1, 0.95, 0.35]])
    return (shares * (width, height, width, height)).astype(np.float32)


def write_bvlc_like(path: Path) -> Path:
    """Random weights of Table 1 under the names of BVLC's Caffe model, as .npz."""
    random = np.random.default_rng(2)
    arrays: dict[str, Any] = {}
    for name, shape in _bvlc_layers():
        arrays[f"{name}.weight"] = _weight(random, shape)
        arrays[f"{name}.bias"] = random.normal(0, 0.1, shape[0]).astype(np.float32)
    np.savez(path, **arrays)
    return path


def _bvlc_layers() -> Layers:
    yield from (("conv1/7x7_s2", (64, 3, 7, 7)), ("conv2/3x3_reduce", (64, 64, 1, 1)))
    yield "conv2/3x3", (192, 64, 3, 3)
    for name, (inputs, conv1, reduce3, conv3, reduce5, conv5, pool) in MODULES.items():
        yield f"inception_{name}/1x1", (conv1, inputs, 1, 1)
        yield f"inception_{name}/3x3_reduce", (reduce3, inputs, 1, 1)
        yield f"inception_{name}/3x3", (conv3, reduce3, 3, 3)
        yield f"inception_{name}/5x5_reduce", (reduce5, inputs, 1, 1)
        yield f"inception_{name}/5x5", (conv5, reduce5, 5, 5)
        yield f"inception_{name}/pool_proj", (pool, inputs, 1, 1)
    yield "loss3/classifier", (OUTPUTS, 1024)


def _weight(random: np.random.Generator, shape: tuple[int, ...]) -> Array:
    """He's deviation, which keeps the scale of maps; a classifier's keeps probabilities apart from 0 and 1."""
    inputs = int(np.prod(shape[1:]))
    deviation = (2 / inputs) ** 0.5 if len(shape) == 4 else 0.5 / inputs
    return random.normal(0, deviation, shape).astype(np.float32)


def write_torchvision_like(path: Path) -> Path:
    """Random weights and batch statistics of torchvision's GoogLeNet, as its own .pth."""
    random = np.random.default_rng(3)
    network = torchvision.models.googlenet(aux_logits=False, init_weights=False, num_classes=OUTPUTS)
    state = {name: _entry(random, name, tuple(value.shape)) for name, value in network.state_dict().items()}
    torch.save({name: torch.from_numpy(value) for name, value in state.items()}, path)
    return path


def _entry(random: np.random.Generator, name: str, shape: tuple[int, ...]) -> Array:
    """One tensor of a network with batch normalisation."""
    if len(shape) > 1:
        return _weight(random, shape) * np.float32(10 if len(shape) == 2 else 1)
    if name.endswith("num_batches_tracked"):
        return np.zeros((), np.int64)
    if name.endswith(("bn.weight", "running_var")):
        return random.uniform(0.8, 1.2, shape).astype(np.float32)
    return random.normal(0, 0.1, shape).astype(np.float32)


# The trunk hardly learns, the classifier does: at a usual rate batch normalisation over a few small maps turns a
# change in the last digit into one of the first within three steps. Colours are not augmented, since OpenCV rounds
# them differently on other processors. The decay is so high that it shows; this seed's suppressions and ranks are
# clear-cut.
TRAINING = """
seed: 30
data: {{root: {root}, train: train, test: val, classes: synsets.csv, blacklist: det_validation_blacklist.txt}}
proposals: {{superpixel_scale: 8, width: 160, max_boxes: 12}}
region: {{crop_size: 32, padding: 2}}
network: {{variant: paper_bn}}
finetune: {{steps: 3, batch_size: 32, positives: 8, learning_rate: 1.0e-5, head_factor: 3000, log_every: 1,
  bias_factor: 1, photometric: 0, weight_decay: 0.1}}
boxes: {{enabled: true, ridge: 1000}}
engine: {{device: cpu, backend: torch, precision: fp32, workers: 0}}
detect: {{min_score: 0}}
evaluate: {{pictures: 0}}
"""
SYNTHETIC = ("--images", "12", "--val", "4", "--classes", "2", "--seed", "0", "--mean-width", "200")

# of the evaluation: image, class, inclusive corners from 0, difficult
OBJECTS = (
    ("a", "apple", (10, 10, 59, 59), 0),
    ("a", "apple", (70, 10, 99, 39), 0),
    ("a", "apple", (60, 50, 89, 79), 1),
    ("a", "pear", (5, 60, 13, 68), 0),  # so small that ILSVRC asks for less overlap
    ("b", "pear", (20, 20, 69, 69), 0),
    ("b", "pear", (24, 20, 73, 69), 0),  # two beside each other
    ("b", "plum", (0, 0, 99, 79), 0),
    ("c", "apple", (30, 30, 79, 79), 0),
    ("c", "plum", (10, 5, 29, 24), 0),
    ("d", "plum", (40, 40, 69, 69), 0),  # blacklisted
)
# image, class, score, inclusive corners: exact, shifted, double, of another class, of nothing, and equal scores
DETECTIONS = (
    ("a", "apple", 0.9, (10, 10, 59, 59)),
    ("a", "apple", 0.85, (12, 8, 61, 57)),
    ("a", "apple", 0.6, (73, 12, 102, 41)),
    ("a", "apple", 0.6, (60, 50, 89, 79)),
    ("a", "pear", 0.7, (8, 62, 16, 70)),
    ("b", "apple", 0.95, (20, 20, 69, 69)),
    ("b", "pear", 0.8, (22, 20, 71, 69)),
    ("b", "pear", 0.8, (22, 20, 71, 69)),
    ("b", "pear", 0.3, (60, 60, 99, 79)),
    ("b", "plum", 0.5, (0, 0, 89, 79)),
    ("c", "apple", 0.55, (35, 33, 84, 82)),
    ("c", "plum", 0.65, (60, 60, 79, 79)),
    ("c", "plum", 0.4, (12, 7, 31, 26)),
    ("d", "plum", 0.99, (40, 40, 69, 69)),
    ("d", "kiwi", 0.2, (0, 0, 9, 9)),
    ("e", "pear", 0.75, (10, 10, 49, 49)),
)
NAMES = ("apple", "pear", "plum", "kiwi")  # of kiwi there is no object
IMAGES = {"a": 5, "b": 9, "c": 2, "d": 7, "e": 4}  # and their numbers
SIZE = (100, 80)  # width and height of each


def write_ilsvrc_example(folder: Path) -> Path:
    """The objects as ILSVRC's XML files, the detections as a submission, image e without an XML file."""
    (folder / "xml").mkdir(parents=True)
    for image in "abcd":
        (folder / "xml" / f"{image}.xml").write_text(_annotation(image))
    with (folder / "classes.csv").open("w", newline="") as file:
        numbered = [(number, f"n{number:08}", name) for number, name in enumerate(NAMES, 1)]
        csv.writer(file).writerows([("id", "wnid", "name"), *numbered])
    (folder / "list.txt").write_text("".join(f"{name} {number}\n" for name, number in IMAGES.items()))
    (folder / "blacklist.txt").write_text("7 n00000003\n")
    lines = [
        f"{IMAGES[image]} {NAMES.index(name) + 1} {score} {x1} {y1} {x2} {y2}\n"
        for image, name, score, (x1, y1, x2, y2) in DETECTIONS
    ]
    (folder / "found.txt").write_text("".join(lines))
    return folder


def _annotation(image: str) -> str:
    """The XML of an image, the corners in ILSVRC's order."""
    width, height = SIZE
    objects = [
        f"<object><name>{name}</name><difficult>{difficult}</difficult><bndbox><xmin>{x1}</xmin><xmax>{x2}</xmax>"
        f"<ymin>{y1}</ymin><ymax>{y2}</ymax></bndbox></object>"
        for owner, name, (x1, y1, x2, y2), difficult in OBJECTS
        if owner == image
    ]
    size = f"<size><width>{width}</width><height>{height}</height></size>"
    return f"<annotation>{size}{''.join(objects)}</annotation>"


def write_coco_example(folder: Path) -> Path:
    """The same as COCO's JSON files: the difficult object is a crowd, ids have gaps."""
    folder.mkdir(parents=True)
    images = [
        {"id": number, "file_name": f"{name}.png", "width": SIZE[0], "height": SIZE[1]}
        for name, number in IMAGES.items()
    ]
    annotations = [
        {"id": row, "image_id": IMAGES[image], **_coco_box(name, corners), "iscrowd": difficult}
        for row, (image, name, corners, difficult) in enumerate(OBJECTS, 1)
    ]
    categories = [{"id": _category(name), "name": name} for name in NAMES]
    tree = {"images": images, "categories": categories, "annotations": annotations}
    (folder / "tree.json").write_text(json.dumps(tree))
    found = [
        {"image_id": IMAGES[image], **_coco_box(name, corners), "score": score}
        for image, name, score, corners in DETECTIONS
    ]
    (folder / "found.json").write_text(json.dumps(found))
    return folder


def _coco_box(name: str, corners: tuple[int, int, int, int]) -> dict[str, Any]:
    x1, y1, x2, y2 = corners
    width, height = x2 + 1 - x1, y2 + 1 - y1
    return {"category_id": _category(name), "bbox": [x1, y1, width, height], "area": width * height}


def _category(name: str) -> int:
    return 3 + 4 * NAMES.index(name)
