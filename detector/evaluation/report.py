"""The report of an evaluation: metrics.json, report.md and one HTML page that needs no other file."""

import base64
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2

from detector.evaluation.curves import curves_svg, sparkline
from detector.evaluation.metrics import Classes, headline, metrics_tree, ranking, remarks
from detector.evaluation.pages import page_environment
from detector.files import write_text
from detector.records import Image, Report

PROTOCOLS = {
    "ilsvrc": "ILSVRC-DET: IoU 0.5, less for small objects",
    "voc2007": "PASCAL VOC 2007: IoU 0.5, 11-point average precision",
    "voc2010": "PASCAL VOC 2010: IoU 0.5, area under the curve",
    "coco": "COCO: mean over IoU 0.50 to 0.95",
}
COCO_MEANINGS = {
    "AP": "IoU 0.50 to 0.95",
    "AP50": "IoU 0.50",
    "AP75": "IoU 0.75",
    "APs": "small objects",
    "APm": "medium objects",
    "APl": "large objects",
    "AR1": "1 detection an image",
    "AR10": "10 detections an image",
    "AR100": "100 detections an image",
    "ARs": "small objects",
    "ARm": "medium objects",
    "ARl": "large objects",
}
EXTREMES = 5  # best and worst classes that are named
JPEG_QUALITY = 88


@dataclass(frozen=True, eq=False)
class Picture:
    """An image of the report, RGB with everything drawn, and the line under it."""

    caption: str
    image: Image


def write_report(
    folder: Path,
    report: Report,
    classes: Classes,
    pictures: Sequence[Picture] = (),
    notes: Mapping[str, str] | None = None,
    *,
    ids: Sequence[int] | None = None,
    html_name: str = "report.html",
    title: str = "Detection report",
) -> Path:
    """Write metrics.json, report.md and `html_name` into `folder`; returns the page's path.

    `notes` say where the numbers come from (model, data, command), a row each. `ids` are the classes' numbers,
    1..C unless given.
    """
    tree = metrics_tree(report, classes, ids)
    best, worst = ranking(tree, EXTREMES)
    context = {
        "title": title,
        "protocol": PROTOCOLS[report.protocol],
        "metrics": tree,
        "headline": headline(report),
        "totals": {"objects": int(report.objects.sum()), "detections": int(report.detections.sum())},
        "best": best,
        "worst": worst,
        "remarks": remarks(report),
        "coco_meanings": COCO_MEANINGS,
        "notes": dict(notes or {}),
    }
    environment = page_environment()
    write_text(folder / "metrics.json", json.dumps(tree, indent=1, allow_nan=False) + "\n")
    write_text(folder / "report.md", environment.get_template("report.md.j2").render(context))
    page = environment.get_template("report.html.j2").render(
        context,
        curves=curves_svg(report, classes.names),
        sparklines=[sparkline(*curve) for curve in zip(report.recall, report.precision, strict=True)],
        pictures=[(picture.caption, _data_uri(picture.image)) for picture in pictures],
    )
    write_text(folder / html_name, page)
    return folder / html_name


def _data_uri(image: Image) -> str:
    pixels = cv2.cvtColor(image, cv2.COLOR_RGB2BGR)
    _, data = cv2.imencode(".jpg", pixels, [cv2.IMWRITE_JPEG_QUALITY, JPEG_QUALITY])
    return "data:image/jpeg;base64," + base64.b64encode(data.tobytes()).decode("ascii")
