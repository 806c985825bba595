"""The model card: what a detector is, what it was trained on, how good it is, and what may be done with it."""

import json
from collections.abc import Sequence
from typing import Any

from detector.config import Config, detection_methods, reported_method
from detector.evaluation.detection_report.words import PROTOCOLS
from detector.evaluation.pages import page_environment
from detector.networks.weights import load_model
from detector.pipeline.pretrained import weights_name
from detector.pipeline.run import RunFolder
from detector.pipeline.train import split_slug

DATA_TERMS = {
    "ilsvrc": "If they are ILSVRC's own images: these may be used for non-commercial research and education only, "
    "by the terms of image-net.org.",
    "voc": "If they are PASCAL VOC's own images: these come from Flickr, whose terms of use hold for them.",
    "coco": "If they are COCO's own: the annotations are under CC BY 4.0, the images under Flickr's terms of use.",
}
METHODS = {
    "softmax": "a softmax",
    "softmax+boxes": "a softmax, with box regression",
    "svm": "linear SVMs",
    "svm+boxes": "linear SVMs, with box regression",
}
MOST_CLASSES = 40  # of which the table shows each
UNKNOWN: dict[str, Any] = {"commit": "unknown", "processor": "unknown", "accelerators": [], "packages": {}}


def model_card(run: RunFolder, config: Config) -> str:
    """The Markdown text of the card, from what the run folder holds; DataError without a trained model."""
    network, _, facts = load_model(run.model_path)
    weights = config.network.weights
    metrics = _read_json(run, "report/metrics.json")
    environment = UNKNOWN | _read_json(run, "environment.json")
    environment["packages"] = {"torch": "unknown"} | environment["packages"]
    return (
        page_environment()
        .get_template("model_card.md.j2")
        .render(
            name=config.name,
            config=config,
            classes=facts.get("classes", []),
            parameters=sum(value.numel() for value in network.parameters()),
            method=METHODS[reported_method(config)],
            methods=detection_methods(config),
            data=config.data.root.name,
            trained_on=_split_text(run, config.data.train),
            tested_on=_split_text(run, config.data.test),
            start=weights_name(weights) if weights else "",
            environment=environment,
            hardware=[environment["processor"], *environment["accelerators"]],
            hash=facts.get("hash", "unknown"),
            metrics=metrics,
            protocol=PROTOCOLS[metrics["protocol"]] if metrics else "",
            mean_aps=_read_json(run, "report/methods.json"),
            most_classes=MOST_CLASSES,
            terms=DATA_TERMS[config.data.format],
        )
    )


def _split_text(run: RunFolder, splits: Sequence[str]) -> str:
    """The names of the splits, and how many images they have together where the run knows."""
    images = run.stage("propose", split_slug(splits)).facts().get("images")
    return " + ".join(f"`{split}`" for split in splits) + (f" ({images} images)" if images else "")


def _read_json(run: RunFolder, name: str) -> dict[str, Any]:
    """A JSON file of the run, empty where there is none."""
    path = run.path / name
    return json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}
