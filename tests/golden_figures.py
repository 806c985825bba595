"""The outputs of `golden_cases` as few numbers as tell a change, and what differs between two sets of them."""

import hashlib
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import golden_cases
import numpy as np
from golden_inputs import Array

EXPECTED = Path(__file__).parent / "golden" / "expected.json"
SUMS = 5
LARGEST = 4
COUNTED = ("id", "name", "ap", "objects", "detections")  # of a class
WHOLE = ("images", "methods", "proposals", "protocols")  # of a run's report
MEANS = ("mean_ap", "median_ap", "mean_ap_with_objects")


def sections(work: Path, shared: Path) -> dict[str, Callable[[], dict[str, Any]]]:
    """How the figures of each section of `EXPECTED` are made, with files in `work`."""
    return {
        "drawn regions": lambda: outlines(golden_cases.drawn_regions(work)),
        "drawn picture": lambda: outlines(golden_cases.drawn_whole(work)),
        "photographed regions": lambda: outlines(golden_cases.photographed_regions(shared)),
        "drawn search": lambda: boxes_of(golden_cases.drawn_search(work)),
        "photographed search": lambda: boxes_of(golden_cases.photographed_search(work, shared)),
        "training": lambda: run_figures(golden_cases.trained(work)),
        "evaluation": lambda: {name: report_figures(tree) for name, tree in golden_cases.evaluated(work).items()},
    }


def outline(rows: Array) -> list[list[float]]:
    """Of each of the rows (N, ...) the logarithm of its length, and of its direction sums and the largest numbers.

    Each number has a weight of its own in each sum, so that two that are exchanged change it. A change by a
    millionth of the row's length is one of about a millionth in each figure.
    """
    vectors = rows.reshape(len(rows), -1).astype(np.float64)
    lengths = np.sqrt((vectors**2).sum(axis=1, keepdims=True))
    weights = np.cos(np.outer(np.arange(1, vectors.shape[1] + 1), np.arange(1, SUMS + 1)))
    largest = np.sort(vectors, axis=1)[:, ::-1][:, :LARGEST]
    sums = np.stack([(vectors * column).sum(axis=1) for column in weights.T], axis=1)  # in an order that stays
    return rounded(np.hstack([np.log(lengths), sums / lengths, largest / lengths]), 6)


def outlines(arrays: Mapping[str, Array]) -> dict[str, Any]:
    """The outlines of each array."""
    return {name: outline(array) for name, array in arrays.items()}


def boxes_of(arrays: Mapping[str, Array]) -> dict[str, Any]:
    """Of the boxes in each array their number and their hash."""
    return {name: [len(boxes), hash_of(boxes)] for name, boxes in arrays.items()}


def hash_of(array: Array) -> str:
    """The SHA-256 of an array's numbers, little-endian, in order."""
    little = array.astype(array.dtype.newbyteorder("<"))
    return hashlib.sha256(little.tobytes()).hexdigest()


def run_figures(run: Path) -> dict[str, Any]:
    """Of a trained run its losses, detections and report."""
    rows, tree = golden_cases.submission(run), golden_cases.metrics(run)
    return {
        "losses": golden_cases.losses(run).tolist(),
        "detections": [[int(row[0]), int(row[1]), *rounded(row[2:], 6)] for row in rows],
        "report": report_figures(tree) | {name: tree[name] for name in WHOLE},
    }


def report_figures(tree: Mapping[str, Any]) -> dict[str, Any]:
    """What a report says by its protocol."""
    found: dict[str, Any] = {name: tree[name] for name in MEANS}
    found["classes"] = [[row[name] for name in COUNTED] for row in tree["classes"]]
    return found | ({"coco": tree["coco"]} if "coco" in tree else {})


def rounded(numbers: Array, digits: int) -> Any:
    """The numbers as nested lists."""
    return np.round(numbers, digits).tolist()


def differences(found: Any, expected: Any, tolerance: float, where: str = "") -> Iterator[str]:
    """What differs between two trees, a line each; numbers may differ by `tolerance`."""
    if isinstance(expected, dict) and isinstance(found, dict) and found.keys() == expected.keys():
        for name in expected:
            yield from differences(found[name], expected[name], tolerance, f"{where}/{name}")
    elif isinstance(expected, list) and isinstance(found, list) and len(found) == len(expected):
        for row, (one, other) in enumerate(zip(found, expected, strict=True)):
            yield from differences(one, other, tolerance, f"{where}/{row}")
    elif isinstance(expected, float) and isinstance(found, float | int):
        if not abs(found - expected) <= tolerance:
            yield f"{where} must be {expected}, got {found}"
    elif found != expected:
        yield f"{where} must be {expected}, got {found}"
