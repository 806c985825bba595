"""The calls by which the golden tests reach the project: those that its pages show to users, and no others.

All imports of the project stand here, so that a module that moves changes this one file.
"""

import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
from numpy.typing import NDArray

from detector import load_detector
from detector.commands import main
from detector.config import EngineSettings, RegionSettings
from detector.inference.classify import ImageClassifier
from detector.inference.engine import RegionEngine
from detector.networks.features import GoogLeNetFeatures
from detector.networks.weight_files.weights import load_model

Array = NDArray[Any]

ENGINE = EngineSettings(device="cpu", backend="torch", precision="fp32", batch_size=4, workers=0)


@contextmanager
def one_thread() -> Iterator[None]:
    """Within, torch computes on one thread: sums are in one order, and a busy machine is no slower."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)


def describe(weights: Path, image: Array, boxes: Array, **region: Any) -> dict[str, Array]:
    """The features (N, 1024) and probabilities (N, C + 1) of `boxes` (N, 4); `region` are its settings."""
    engine = RegionEngine.load(weights, RegionSettings(**region), ENGINE)
    (found,) = engine.describe([(image, boxes)])
    return {"features": found.features, "probs": found.probs}


def classify(weights: Path, image: Array, crops: Sequence[int]) -> Array:
    """The probabilities (len(crops), C) of a whole image, for each number of crops."""
    network, preprocessing, _ = load_model(weights)
    (probs,) = ImageClassifier(network, preprocessing, 224, ENGINE).classify([image], crops)
    return probs


def maps(weights: Path, image: Array) -> dict[str, Array]:
    """The backbone's maps (1, C, h, w) of all strides, of an image (H, W, 3) normalised as ImageNet's are."""
    mean, deviation = torch.tensor((123.675, 116.28, 103.53)), torch.tensor((58.395, 57.12, 57.375))
    normalised = (torch.from_numpy(image) - mean) / deviation
    backbone = GoogLeNetFeatures("paper", weights=weights, out_indices=(0, 1, 2, 3, 4)).eval()
    with torch.inference_mode():
        found = backbone(normalised.permute(2, 0, 1)[None])
    return {f"stride {2 << index}": level.numpy() for index, level in enumerate(found)}


def propose(work: Path, name: str, image: Path, *settings: str) -> Array:
    """The regions (N, 4) that the command `propose` finds in an image file; `name` is that of a run in `work`."""
    split = write_split(work / name / "data", image)
    config = work / name / "config.yaml"
    data = {"format": "coco", "root": str(split), "classes": ["thing"]}
    config.write_text(json.dumps({"data": data, "engine": {"workers": 0}}))  # which is YAML
    command("propose", str(config), *settings, "--split", "all", "--run", str(work / name / "run"))
    (boxes,) = (work / name / "run").rglob("boxes.npy")
    return np.load(boxes)


def write_split(root: Path, image: Path) -> Path:
    """A data set of COCO's format, of one image without objects, the split `all`."""
    (root / "all").mkdir(parents=True)
    (root / "all" / image.name).write_bytes(image.read_bytes())
    height, width = read_rgb(image).shape[:2]
    entry = {"id": 1, "file_name": image.name, "width": width, "height": height}
    tree = {"images": [entry], "categories": [{"id": 1, "name": "thing"}], "annotations": []}
    (root / "instances_all.json").write_text(json.dumps(tree))
    return root


def train(work: Path, settings: str, synthetic: Sequence[str], *overrides: str) -> Path:
    """The run folder of `train_det` with `settings`, on the set in `work` that `make_synthetic` writes."""
    config, root, run = work / "train.yaml", work / "tree", work / "run"
    command("make_synthetic", str(root), *synthetic)
    config.write_text(settings.format(root=root))
    command("train_det", str(config), *overrides, "--run", str(run))
    return run


def evaluate(out: Path, *words: str) -> dict[str, Any]:
    """What `metrics.json` states of the command `eval_det` with `words`."""
    command("eval_det", *words, "--out", str(out))
    return json.loads((out / "metrics.json").read_text())


def detect(run: Path, image: Path) -> tuple[Array, Array]:
    """The boxes (M, 4) and scores (M,) that a run's detector finds in an image file."""
    found = load_detector(run).detect(image)
    return found.boxes, found.scores


def command(*words: str) -> None:
    """Run a command as `detector NAME ...` does."""
    status = main(words)
    if status:
        raise ValueError(f"exit status must be 0, got {status} ({' '.join(words)})")


def read_rgb(path: Path) -> Array:
    """The pixels (H, W, 3) uint8 RGB of an image file."""
    return np.ascontiguousarray(np.asarray(cv2.imread(str(path), cv2.IMREAD_COLOR))[..., ::-1])
