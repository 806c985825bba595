"""The outputs that the golden tests pin, whole, by name: what is computed, of which inputs."""

import csv
import json
from pathlib import Path
from typing import Any

import golden_calls
import golden_inputs
import numpy as np
from golden_inputs import Array

Arrays = dict[str, Array]

PHOTOGRAPHS = (  # below the shared data
    "fruit/test/apple_77.jpg",
    "coco256/val2017/000000000139.jpg",
    "ilsvrc_cls_mini/images/ILSVRC2012_val_00002786.JPEG",
)
SEARCHED = ("raccoon/images/raccoon-1.jpg", "raccoon/images/raccoon-10.jpg")  # shrunk and enlarged
WEIGHTS = "weights/bvlc_googlenet.npz"
REGIONS: dict[str, dict[str, Any]] = {
    "as published": {},
    "small, the nearest pixels outside": {"crop_size": 112, "padding": 8, "fill": "image"},
    "of the image's map": {"mode": "shared", "shared_side": (200, 300)},
}
SEARCHES: dict[str, tuple[str, ...]] = {"fast": (), "quality": ("proposals.mode=quality", "proposals.width=0")}
PROTOCOLS = ("ilsvrc", "voc2007", "voc2010", "coco")


def drawn_regions(work: Path) -> Arrays:
    """Features and probabilities of the boxes of the drawn picture, by random networks."""
    image, boxes = golden_inputs.draw_picture(), golden_inputs.BOXES
    bvlc = golden_inputs.write_bvlc_like(work / "bvlc.npz")
    cases = {f"paper, {name}": (bvlc, region) for name, region in REGIONS.items()}
    cases["torchvision"] = (golden_inputs.write_torchvision_like(work / "torchvision.pth"), {})
    return {
        f"{name}: {kind}": array
        for name, (weights, region) in cases.items()
        for kind, array in golden_calls.describe(weights, image, boxes, **region).items()
    }


def drawn_whole(work: Path) -> Arrays:
    """Of the drawn picture as a whole: probabilities by 1 and 10 crops, and the backbone's maps."""
    image = golden_inputs.draw_picture()
    bvlc = golden_inputs.write_bvlc_like(work / "bvlc.npz")
    crops = {"1 and 10 crops: probs": golden_calls.classify(bvlc, image, (1, 10))}
    return crops | {f"map of {name}": level for name, level in golden_calls.maps(bvlc, image).items()}


def photographed_regions(shared: Path) -> Arrays:
    """Features and probabilities of boxes of photographs, and those of the whole ones by 1 and 10 crops."""
    found = {}
    for name in PHOTOGRAPHS:
        image = golden_calls.read_rgb(shared / "data" / name)
        boxes = golden_inputs.fractions_of(image)
        for kind, array in golden_calls.describe(shared / WEIGHTS, image, boxes).items():
            found[f"{name}: {kind}"] = array
    name = PHOTOGRAPHS[-1]
    image = golden_calls.read_rgb(shared / "data" / name)
    return found | {f"{name}, 1 and 10 crops: probs": golden_calls.classify(shared / WEIGHTS, image, (1, 10))}


def drawn_search(work: Path) -> Arrays:
    """The regions of the drawn picture by selective search."""
    image = golden_inputs.write_picture(work / "drawn.png")
    return {name: golden_calls.propose(work, name, image, *words) for name, words in SEARCHES.items()}


def photographed_search(work: Path, shared: Path) -> Arrays:
    """The regions of photographs by selective search."""
    return {name: golden_calls.propose(work, Path(name).stem, shared / "data" / name) for name in SEARCHED}


def trained(work: Path) -> Path:
    """The run folder of a few steps on a few synthetic images."""
    return golden_calls.train(work, golden_inputs.TRAINING, golden_inputs.SYNTHETIC)


def submission(run: Path) -> Array:
    """The lines (M, 7) of a run's detections, by image and class, best first."""
    (path,) = (run / "stages" / "detect").rglob("softmax+boxes/submission.txt")
    rows = np.loadtxt(path, ndmin=2)
    return rows[np.lexsort((-rows[:, 2], rows[:, 1], rows[:, 0]))]


def losses(run: Path) -> Array:
    """The loss of each step of a run."""
    with (run / "metrics.csv").open(newline="") as file:
        return np.array([float(row["loss"]) for row in csv.DictReader(file)])


def metrics(run: Path) -> dict[str, Any]:
    """What a run's report states, without the seconds of its stages."""
    tree = json.loads((run / "report" / "metrics.json").read_text())
    del tree["seconds"]
    return tree


def detected(run: Path) -> tuple[Array, Array]:
    """Of the run's first test image the scores by `load_detector`, and those of the submission, best first."""
    image = min((run.parent / "tree" / "Data" / "DET" / "val").iterdir())
    rows = submission(run)
    stated = rows[rows[:, 0] == rows[0, 0], 2]
    return np.sort(golden_calls.detect(run, image)[1])[::-1], np.sort(stated)[::-1]


def evaluated(work: Path) -> dict[str, dict[str, Any]]:
    """What `eval_det` states of the hand-made detections, by format and protocol."""
    xml = golden_inputs.write_ilsvrc_example(work / "ilsvrc")
    words = ["--annotations", f"{xml}/xml", "--list", f"{xml}/list.txt", "--classes", f"{xml}/classes.csv"]
    words += ["--blacklist", f"{xml}/blacklist.txt", "--detections", f"{xml}/found.txt"]
    tree = golden_inputs.write_coco_example(work / "coco")
    files = {
        "ilsvrc": words,
        "coco": ["--annotations", f"{tree}/tree.json", "--detections", f"{tree}/found.json"],
    }
    return {
        f"{name} files by {protocol}": golden_calls.evaluate(
            work / f"{name}-{protocol}", "--format", name, *words, "--protocol", protocol
        )
        for name, words in files.items()
        for protocol in PROTOCOLS
    }
