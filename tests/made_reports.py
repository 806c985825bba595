"""Small reports with everything in them."""

import numpy as np
from oracles_diagnosis import random_scene

from detector.data.classes import ClassList, ilsvrc_det_classes
from detector.evaluation.comparison import compare
from detector.evaluation.outcomes import NO_BLACKLIST, match_detections
from detector.evaluation.recall import CURVE_BUDGETS, measure_coverage
from detector.records import DetectionTable, object_table, take
from detector.reports.comparison_report import ComparedRun, ComparisonReport
from detector.reports.detection.analysis import Case, analyse
from detector.reports.detection.picture_choice import Picture
from detector.reports.detection.report import DetectionReport, TrainingLog

CLASSES = ClassList(("apple", "<b>pear & co|ltd</b>", "</script>plum"), ("n1", "n2", "n3"))
BOX, AWAY = (0.0, 0.0, 50.0, 50.0), (200.0, 0.0, 250.0, 50.0)


def table(*rows: tuple[int, int, float, tuple[float, ...]]) -> DetectionTable:
    """Detections of image, label, score and box."""
    image, labels, scores, boxes = zip(*rows, strict=True) if rows else ((), (), (), ())
    return DetectionTable(
        np.array(image, np.int64),
        np.array(boxes, np.float64).reshape(-1, 4),
        np.array(labels, np.int64),
        np.array(scores, np.float64),
    )


def case(*found: tuple[int, int, float, tuple[float, ...]]) -> Case:
    """An apple in each of images 0 to 2, a plum in image 0; image 3 is empty."""
    boxes, flags = np.array([BOX, AWAY, BOX, BOX]), np.zeros(4, np.bool_)
    objects = object_table(np.array([0, 0, 1, 2]), boxes, np.array([1, 3, 1, 1]), flags, flags)
    return Case(CLASSES, 4, objects, table(*found), NO_BLACKLIST)


FOUND = (
    (0, 1, 0.9, BOX),
    (0, 1, 0.8, AWAY),  # on the plum
    (1, 1, 0.7, BOX),
    (3, 1, 0.6, BOX),  # on nothing
    (0, 3, 0.5, AWAY),
)


def content(case: Case, protocol: str = "voc2010", **more: object) -> DetectionReport:
    report = case.evaluate(protocol)
    analysis = analyse(case, report, np.random.default_rng(0), resamples=20)
    ids = range(1, len(case.classes.names) + 1)
    return DetectionReport("T & Co", case, ids, analysis, **more)  # type: ignore[arg-type]


def everything() -> DetectionReport:
    """A report with all sections."""
    made = case(*FOUND)
    boxes = [np.array([BOX, AWAY], np.float32)] * 4
    steps = np.arange(0.0, 1000, 2)
    columns = {"loss": 1 / (1 + steps), "accuracy": steps / 1000, "learning_rate": 0.1 + 0 * steps}
    log = TrainingLog(
        "Fine-tuning", steps, columns, steps[::100], {"loss": steps[::100], "accuracy": steps[::100]}
    )
    return content(
        made,
        methods={"soft|max": made.evaluate("voc2007"), "svm": made.evaluate("voc2010")},
        proposals=measure_coverage(made.objects, boxes, CURVE_BUDGETS),
        training=[log],
        pictures={"Best": [Picture('a "quoted" <name>', np.zeros((8, 6, 3), np.uint8))]},
        seconds={"finetune": 75.0},
        notes={"Model": "<i>mine</i>"},
        settings="name: <b>\n",
    )


def two_hundred_classes() -> Case:
    """Sparse objects and detections of ILSVRC's classes in 60 images."""
    random, count = np.random.default_rng(0), 400
    corners = random.random((count, 2)) * 300
    flags = np.zeros(count, np.bool_)
    labels = random.integers(1, 201, count)
    image = random.integers(0, 60, count)
    objects = object_table(image, np.concatenate([corners, corners + 90], axis=1), labels, flags, flags)
    rows = random.integers(0, count, 900)
    wrong = random.integers(1, 201, 900)
    found = DetectionTable(
        image[rows],
        objects.boxes[rows] + random.integers(-30, 31, (900, 4)),
        np.where(random.random(900) < 0.7, labels[rows], wrong),
        random.random(900),
    )
    return Case(ilsvrc_det_classes(), 60, objects, found, NO_BLACKLIST)


PICTURE = Picture("image 1 by <b>", np.zeros((8, 6, 3), np.uint8))


def comparison(others: int = 1, seed: int = 4) -> ComparisonReport:
    """Runs that lose ever more of the first one's detections."""
    objects, detections, images, classes, blacklist = random_scene(seed)
    tables = [take(detections, np.arange(len(detections.scores)) % 4 >= lost) for lost in range(others + 1)]
    matched = [match_detections("ilsvrc", objects, table, images, classes, blacklist) for table in tables]
    runs = [
        ComparedRun(f"b<{number}>", compare(run, matched[0], np.random.default_rng(0), 10), [(PICTURE, PICTURE)])
        for number, run in enumerate(matched[1:])
    ]
    names = ClassList(tuple("abcdefgh"[:classes]))
    return ComparisonReport(
        "ilsvrc", names, matched[0].positives, np.arange(images).astype(str), "a|a", runs, {"Data": "<i>"}
    )
