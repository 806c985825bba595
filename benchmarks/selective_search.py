"""Our selective search beside OpenCV contrib's, image by image in turn: seconds, recall, threads, stages.

python3 -m venv /tmp/opencv-peer
/tmp/opencv-peer/bin/pip install opencv-contrib-python==5.0.0.93
python benchmarks/selective_search.py --peer /tmp/opencv-peer/bin/python --data ../shared/data \
    [--settings fast rcnn quality] [--every 1]

Both search the same images, 500 pixels wide, at the same settings on one thread, and keep boxes of every size.
OpenCV takes other liberties with the papers: see `opencv_choices`. A third row is ours with OpenCV's. OpenCV's own
order is not the paper's either, lower regions come first: equal numbers of boxes are drawn at random to compare.
"""

import argparse
import os
import pickle
import subprocess
import sys
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any
from unittest import mock

import cv2
import numpy as np

from detector.config import DataSettings
from detector.data.dataset import Dataset, subset
from detector.data.images import read_image
from detector.data.readers import open_dataset
from detector.evaluation.bootstrap import draw_images, standard_intervals
from detector.evaluation.recall import average_recall, counted_objects, measure_coverage, recall_at
from detector.parallel import ordered_map
from detector.proposals import segmentation
from detector.proposals import selective_search as module
from detector.proposals.segmentation import NO_EDGE, Scale, UInt16
from detector.proposals.selective_search import STRATEGIES, Strategies, convert_colour, resize_to_width, search
from detector.records import Array, Float32, Float64, Image, Int64, ObjectTable
from detector.runs.environment import environment_notes

WIDTH = 500
SIGMA = 0.8
FEWEST = 100  # pixels of a superpixel in both of OpenCV's modes
SETTINGS = {
    "fast": Strategies(
        ("hsv", "lab"), tuple(Scale(k, FEWEST) for k in (150, 300, 450)), STRATEGIES["fast"].similarities
    ),
    "rcnn": STRATEGIES["fast"],
    "quality": Strategies(
        ("hsv", "lab", "intensity", "hue", "rgi"),
        tuple(Scale(k, FEWEST) for k in (150, 300, 450, 600, 750)),
        STRATEGIES["quality"].similarities,
    ),
}
OURS, ADAPTED, OPENCV = "ours", "ours, OpenCV's choices", "OpenCV contrib"
RESAMPLES = 1000
SPLITS = {"coco256": ("coco", ("train2017", "val2017")), "fruit": ("voc", ("train", "test"))}
Searcher = Callable[[Image], tuple[Array, float]]  # boxes (N, 4) and the seconds they took
BUDGETS = (100, 500, 1000, 2000)
STAGES = {
    "colour spaces": [(module, "convert_colour")],
    "smoothing, edge weights": [(segmentation, "smooth"), (segmentation, "edge_grades")],
    "sorting": [(segmentation, "_first_of_grades"), (segmentation, "_sort_edges")],
    "union-find over pixels": [(segmentation, "_fragments")],
    "union-find over fragments, each k": [(module, "segment")],
    "texture and colour bins": [(module, "pixel_bins")],
    "histograms, neighbours": [(module, "describe_regions"), (module, "join_regions")],
    "grouping": [(module, "group")],
    "order, duplicates": [(module, "_in_random_order"), (module, "_distinct")],
}


def main() -> None:
    """Print Markdown: the machine, then for each setting and data set the speed and the recall."""
    options = parse()
    cv2.setNumThreads(1)
    show(*(f"{key}: {value}" for key, value in environment_notes().items()))
    for name in options.data_sets:
        dataset = load(options.data, name, options.every)
        images = [resize_to_width(read_image(path), WIDTH) for path in map(Path, dataset.paths)]
        show("", f"## {name}: {len(images)} images")
        for settings in options.settings:
            with peer(options.peer, settings) as theirs:
                compare(settings, dataset, images, theirs)
        stages(images, "fast")
        threads(images, "fast", options.rounds)


def compare(settings: str, dataset: Dataset, images: list[Image], theirs: Searcher) -> None:
    """Search every image with both, in turn, and print seconds and recall."""

    def ours(image: Image) -> tuple[Array, float]:
        started = time.perf_counter()
        boxes = search(image, SETTINGS[settings], SIGMA, np.random.default_rng(0))
        return boxes + np.array([0, 0, 1, 1]), time.perf_counter() - started

    def adapted(image: Image) -> tuple[Array, float]:
        with opencv_choices():
            return ours(image)

    searchers = {OURS: ours, ADAPTED: adapted, OPENCV: theirs}
    for run in searchers.values():
        run(images[0])
    before = os.getloadavg()[0]
    seconds: dict[str, list[float]] = {name: [] for name in searchers}
    boxes: dict[str, list[Array]] = {name: [] for name in searchers}
    for image, (height, width) in zip(images, dataset.sizes, strict=True):
        factor = np.tile([width / image.shape[1], height / image.shape[0]], 2)
        for name, run in searchers.items():
            found, taken = run(image)
            seconds[name].append(taken)
            boxes[name].append(found * factor)
    ratios = np.divide(seconds[OPENCV], seconds[OURS])
    show("", f"### Settings {settings}", "", "| | ms an image | boxes |", "|---|---|---|")
    for name in searchers:
        show(f"| {name} | {1e3 * np.median(seconds[name]):.0f} | {np.mean([len(b) for b in boxes[name]]):.0f} |")
    low, middle, high = np.percentile(ratios, [10, 50, 90])
    show("", f"Ratio {middle:.1f} (a tenth of the images under {low:.1f}, a tenth over {high:.1f});", end=" ")
    show(f"load of the machine {before:.1f} before, {os.getloadavg()[0]:.1f} after.", "")
    recalls(dataset, boxes)


@contextmanager
def opencv_choices() -> Iterator[None]:
    """Search with OpenCV's colour spaces, and superpixels of 4-connected pixels, not of 8-connected ones."""
    with (
        mock.patch.object(module, "convert_colour", opencv_colour),
        mock.patch.object(segmentation, "edge_grades", straight_edges(segmentation.edge_grades)),
    ):
        yield


def opencv_colour(image: Image, colour: str) -> Image:
    """`image` (H, W, 3) RGB as OpenCV's modes convert it: hue in 0..179, rgI not normalised, intensity as luma."""
    luma = np.asarray(cv2.cvtColor(image, cv2.COLOR_RGB2GRAY)[..., None], np.uint8)
    match colour:
        case "hsv":
            return np.asarray(cv2.cvtColor(image, cv2.COLOR_RGB2HSV), np.uint8)
        case "hue":
            return np.ascontiguousarray(cv2.cvtColor(image, cv2.COLOR_RGB2HSV)[..., :1], np.uint8)
        case "rgi":
            return np.concatenate([image[..., :2], luma], axis=2)
        case "intensity":
            return luma
    return convert_colour(image, colour)


def straight_edges(edge_grades: Callable[[Float32], UInt16]) -> Callable[[Float32], UInt16]:
    """`edge_grades` without the two diagonal directions."""

    def graded(planes: Float32) -> UInt16:
        grades = edge_grades(planes)
        grades[[1, 3]] = NO_EDGE
        return grades

    return graded


def recalls(dataset: Dataset, boxes: dict[str, list[Array]]) -> None:
    """Print recall at IoU 0.5 and average recall at equal numbers of boxes, in each one's order and at random."""
    show("| boxes an image | " + " | ".join([*map(str, BUDGETS), "all of the fewest"]) + " |", "|---" * 6 + "|")
    objects = counted_objects(dataset.objects, dataset.blacklist)
    for shuffled in (False, True):
        overlaps = {}
        for name, equal in equal_numbers(boxes, shuffled).items():
            coverage = measure_coverage(objects, equal, BUDGETS)
            columns = [*np.searchsorted(coverage.budgets, BUDGETS).clip(max=len(coverage.budgets) - 1), -1]
            overlaps[name] = coverage.overlaps[:, columns]
            found, average = recall_at(overlaps[name], 0.5), average_recall(overlaps[name])
            cells = [f"{share:.3f} / {area:.3f}" for share, area in zip(found, average, strict=True)]
            show(f"| {name}{', at random' if shuffled else ''} | " + " | ".join(cells) + " |")
    for name in (OURS, ADAPTED):
        show(
            f"| {name}, less OpenCV's | "
            + " | ".join(differences(objects, overlaps[name], overlaps[OPENCV]))
            + " |"
        )


def equal_numbers(boxes: dict[str, list[Array]], shuffled: bool) -> dict[str, list[Array]]:
    """Of each image as many of everyone's boxes as the one who found fewest has."""
    fewest = [min(map(len, found)) for found in zip(*boxes.values(), strict=True)]
    random = np.random.default_rng(0)
    return {
        name: [(random.permutation(each) if shuffled else each)[:n] for each, n in zip(found, fewest, strict=True)]
        for name, found in boxes.items()
    }


def differences(objects: ObjectTable, ours: Float64, theirs: Float64) -> list[str]:
    """Recall at IoU 0.5 and average recall of `ours` (G, K) less `theirs`, each with its 95% interval."""
    random = np.random.default_rng(0)
    found = (ours >= 0.5).astype(np.float64) - (theirs >= 0.5)
    average = 2 * (np.maximum(ours, 0.5) - np.maximum(theirs, 0.5))
    gains = np.stack([found, average], axis=-1)
    drawn = [draw_images(objects.image.max() + 1, random)[objects.image] for _ in range(RESAMPLES)]
    samples = np.stack([np.average(gains, axis=0, weights=weights) for weights in drawn])
    means = gains.mean(axis=0)
    low, high = np.moveaxis(standard_intervals(means, samples), -1, 0)
    reach = (high - low) / 2
    return [f"{a:+.3f} ± {x:.3f} / {b:+.3f} ± {y:.3f}" for (a, b), (x, y) in zip(means, reach, strict=True)]


def stages(images: list[Image], settings: str) -> None:
    """Print what the stages of a search take, medians over the images."""
    watch = Stopwatch()
    taken = []
    with ExitStack() as stack:
        for stage, functions in STAGES.items():
            for owner, name in functions:
                stack.enter_context(mock.patch.object(owner, name, watch.timed(getattr(owner, name), stage)))
        for image in images:
            watch.seconds.clear()
            search(image, SETTINGS[settings], SIGMA, np.random.default_rng(0))
            taken.append(dict(watch.seconds))
    medians = {stage: 1e3 * float(np.median([each[stage] for each in taken])) for stage in STAGES}
    total = sum(medians.values())
    show("", f"### Stages, settings {settings}", "", "| stage | ms | share |", "|---|---|---|")
    show(*(f"| {stage} | {ms:.1f} | {ms / total:.0%} |" for stage, ms in medians.items()))
    show(f"| sum | {total:.1f} | |")


class Stopwatch:
    """The seconds of each stage, less those of stages inside it."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = defaultdict(float)
        self._inside: list[float] = []

    def timed(self, function: Callable[..., Any], stage: str) -> Callable[..., Any]:
        """`function`, its seconds counted as the stage's."""

        def run(*arguments: Any) -> Any:
            self._inside.append(0.0)
            started = time.perf_counter()
            result = function(*arguments)
            taken = time.perf_counter() - started
            self.seconds[stage] += taken - self._inside.pop()
            if self._inside:
                self._inside[-1] += taken
            return result

        return run


def threads(images: list[Image], settings: str, rounds: int) -> None:
    """Print how much faster two threads are than one, medians of rounds in turn."""

    def run(workers: int) -> float:
        def one(image: Image) -> Int64:
            return search(image, SETTINGS[settings], SIGMA, np.random.default_rng(0))

        started = time.perf_counter()
        for _ in ordered_map(one, images[:60], workers):
            pass
        return time.perf_counter() - started

    ratios = [run(1) / run(2) for _ in range(rounds)]
    show("", f"Two threads: {np.median(ratios):.2f} times one ({', '.join(f'{r:.2f}' for r in ratios)});", end=" ")
    show(f"load of the machine {os.getloadavg()[0]:.1f}.")


@contextmanager
def peer(python: Path, settings: str) -> Iterator[Searcher]:
    """OpenCV contrib in a process of its own, as a function of an image."""
    command = [str(python), str(Path(__file__).with_name("opencv_peer.py"))]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdin and process.stdout
        asks, answers = process.stdin, process.stdout

        def run(image: Image) -> tuple[Array, float]:
            pickle.dump((settings, np.ascontiguousarray(image[..., ::-1])), asks)
            asks.flush()
            rectangles, seconds = pickle.load(answers)
            corners = np.concatenate([rectangles[:, :2], rectangles[:, :2] + rectangles[:, 2:]], axis=1)
            return corners, seconds

        yield run
        asks.close()


def load(root: Path, name: str, every: int) -> Dataset:
    """One in `every` images of a data set, with their objects."""
    layout, splits = SPLITS[name]
    dataset = open_dataset(DataSettings(format=layout, root=root / name, train=splits, test=splits), splits)
    return subset(dataset, np.arange(0, len(dataset), every))


def show(*lines: str, end: str = "\n") -> None:
    """Write `lines`."""
    sys.stdout.write("\n".join(lines) + end)
    sys.stdout.flush()


def parse() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--peer", type=Path, required=True, help="interpreter with opencv-contrib-python")
    parser.add_argument("--data", type=Path, required=True, help="folder of the data sets")
    parser.add_argument("--data-sets", nargs="+", choices=SPLITS, default=list(SPLITS))
    parser.add_argument("--settings", nargs="+", choices=SETTINGS, default=list(SETTINGS))
    parser.add_argument("--every", type=int, default=1, help="take one image in so many")
    parser.add_argument("--rounds", type=int, default=5, help="of the threads' comparison")
    return parser.parse_args()


if __name__ == "__main__":
    main()
