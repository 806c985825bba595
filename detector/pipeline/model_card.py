"""The model card: what a trained detector is, what it was trained on, how good it is, and what may be done with it."""

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from detector.config import Config, detection_methods, reported_method
from detector.evaluation.metrics import decimal
from detector.networks.weights import load_model
from detector.pipeline.run import RunFolder
from detector.pipeline.train import split_slug

PROTOCOLS = {
    "ilsvrc": "ILSVRC-DET: IoU 0.5, less for small objects, blacklist",
    "voc2007": "PASCAL VOC 2007: IoU 0.5, 11-point average precision",
    "voc2010": "PASCAL VOC 2010: IoU 0.5, area under the curve",
    "coco": "COCO: mean over IoU 0.50 to 0.95",
}
DATA_TERMS = {
    "ilsvrc": "If these are ILSVRC's own images: they may be used for non-commercial research and education only, "
    "by the terms of image-net.org, and remain their owners'.",
    "voc": "If these are PASCAL VOC's own images: they come from Flickr, whose terms of use hold for them.",
    "coco": "If these are COCO's own: the annotations are under CC BY 4.0, the images remain their owners' under "
    "Flickr's terms of use.",
}
MOST_CLASSES = 40  # of which the table shows each

USE = """\
    from detector import load_detector

    detector = load_detector("PATH OF THIS FOLDER")
    for name, score, box in detector.named(detector.detect("photo.jpg")):
        print(name, score, box)  # x1, y1, x2, y2 in pixels
"""


def model_card(run: RunFolder, config: Config) -> str:
    """The Markdown text of the card, from what the run folder holds; DataError without a trained model."""
    network, preprocessing, facts = load_model(run.model_path)
    classes: list[str] = facts.get("classes", [])
    parameters = sum(value.numel() for value in network.parameters())
    sections = {
        f"{config.name}: an object detector of {len(classes)} classes": _summary(config, parameters),
        "Use": [USE.rstrip()],
        "Classes": [", ".join(classes)],
        "Training": _training(run, config, facts),
        "Results": _results(run),
        "Limits": [
            "Objects of other classes are not found, or are taken for one of these. Scores are not calibrated: how "
            "often a detection of some score is right depends on the data. Nothing was measured on other data than "
            "those above."
        ],
        "Licence": _licence(config),
    }
    marks = ["#", *["##"] * (len(sections) - 1)]
    parts = [
        f"{mark} {title}\n\n" + "\n".join(lines)
        for mark, (title, lines) in zip(marks, sections.items(), strict=True)
    ]
    return "\n\n".join(parts) + "\n"


def _summary(config: Config, parameters: int) -> list[str]:
    heads = {"svm": "linear SVMs", "softmax": "a softmax"}
    method = reported_method(config)
    boxes = " and box regression" if method.endswith("+boxes") else ""
    return [
        f"GoogLeNet (variant `{config.network.variant}`, {parameters / 1e6:.1f} million parameters) scores regions of "
        f"{config.region.crop_size} x {config.region.crop_size} pixels, {config.region.padding} of them context, with "
        f"{heads[method.split('+')[0]]}{boxes}; regions come from {config.proposals.source.replace('_', ' ')}. "
        "After arXiv 1409.4842 and 1311.2524, by googlenet-detector."
    ]


def _training(run: RunFolder, config: Config, facts: Mapping[str, Any]) -> list[str]:
    data, finetune = config.data, config.finetune
    environment = _read_json(run, "environment.json")
    steps = f"{run.stage('finetune').facts().get('steps', finetune.steps)} steps of {finetune.batch_size} regions"
    start = f"the weights {config.network.weights.name}" if config.network.weights else "random weights"
    lines = [
        f"- Data: {data.root.name} ({data.format}), trained on {_split_text(run, data.train)}, "
        f"tested on {_split_text(run, data.test)}.",
        f"- Training: {steps} with {finetune.optimizer}, from {start}; ways to score: "
        f"{', '.join(detection_methods(config))}.",
        f"- Code: commit `{environment.get('commit', 'unknown')}` on {environment.get('processor', 'unknown')}"
        + "".join(f", {name}" for name in environment.get("accelerators", []))
        + f"; torch {environment.get('packages', {}).get('torch', 'unknown')}.",
        f"- Hash of the network's weights: `{facts.get('hash', 'unknown')}`.",
        "- All settings: `config.yaml`, also in the metadata of the weights.",
    ]
    return lines


def _split_text(run: RunFolder, splits: Sequence[str]) -> str:
    images = run.stage("propose", split_slug(splits)).facts().get("images")
    return " + ".join(f"`{split}`" for split in splits) + (f" ({images} images)" if images else "")


def _results(run: RunFolder) -> list[str]:
    metrics = _read_json(run, "report/metrics.json")
    if not metrics:
        return ["This run was not evaluated."]
    lines = [f"Protocol: {PROTOCOLS.get(metrics['protocol'], metrics['protocol'])}.", ""]
    lines += _table(("", "mean AP"), [("**reported**", metrics["mean_ap"]), *_methods(run)])
    classes = metrics["classes"]
    if len(classes) <= MOST_CLASSES:
        lines.append("")
        rows = [(row["name"], row["ap"], row["objects"]) for row in classes]
        lines += _table(("class", "AP", "objects"), rows)
    return lines


def _methods(run: RunFolder) -> list[tuple[str, float | None]]:
    methods = _read_json(run, "report/methods.json")
    return list(methods.items()) if len(methods) > 1 else []


def _table(header: Sequence[str], rows: Sequence[Sequence[object]]) -> Iterator[str]:
    yield "| " + " | ".join(header) + " |"
    yield "|---|" + "---:|" * (len(header) - 1)
    for row in rows:
        yield "| " + " | ".join(_cell(value) for value in row) + " |"


def _cell(value: object) -> str:
    if isinstance(value, float) or value is None:
        return decimal(value)
    return str(value).replace("|", "\\|")


def _licence(config: Config) -> list[str]:
    weights = config.network.weights
    start = f"the terms of the weights it started from (`{weights.name}`) and " if weights else ""
    return [
        "The code is under the MIT licence. The weights were made from data with terms of their own, and whoever uses "
        f"or passes on the weights must keep to {start}those of the data (`{config.data.root.name}`). "
        f"{DATA_TERMS[config.data.format]}"
    ]


def _read_json(run: RunFolder, name: str) -> dict[str, Any]:
    """A JSON file of the run, empty where there is none."""
    path = run.path / name
    return json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}
