"""Testing classifiers of whole images: class probabilities by many crops and models, their errors, the report."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from detector.config import EngineSettings, ImageSettings
from detector.data.classes import ClassList
from detector.data.images import Exif
from detector.data.labelled_images import (
    LabelledImages,
    numbered_classes,
    read_class_names,
    read_labelled_images,
)
from detector.evaluation.classification import ClassificationRow, classification_row, classification_table
from detector.networks.weight_files.model_facts import ModelFacts
from detector.networks.weight_files.weights import weights_header
from detector.records import Float32
from detector.reports.classification_report import write_classification_report
from detector.runs.environment import environment_notes
from detector.runs.folder import RunFolder
from detector.runs.store import Store
from detector.stages.classify_images import run_classify


@dataclass(frozen=True)
class ClassificationTest:
    """What a test ended with: the rows of its table and the report's page."""

    rows: tuple[ClassificationRow, ...]
    page: Path

    def text(self) -> str:
        """What a command prints at its end."""
        return f"{classification_table(self.rows)}\nreport: {self.page}\n"


def open_images(settings: ImageSettings, split: str, classes: ClassList | None = None) -> LabelledImages:
    """The images of a split, with the classes of `settings`, else those given, else those of the split itself."""
    if settings.classes is not None:
        classes = read_class_names(settings.root / settings.classes)
    return read_labelled_images(settings.root, split, settings.images, classes, settings.outside_root == "allow")


def open_tested_images(settings: ImageSettings, model: Path) -> LabelledImages:
    """The test split, with the classes of `settings`, else of the model's file, else those of the split itself.

    A list names no classes, and its highest number need not be the model's last: then they are numbered.
    """
    header = weights_header(model)
    classes = ModelFacts.of(header.metadata, model).classes
    if classes is None and not (settings.root / settings.test).is_dir():
        classes = numbered_classes(header.outputs)
    return open_images(settings, settings.test, classes)


def run_classification_test(
    run: RunFolder,
    models: Sequence[Path],
    testing: LabelledImages,
    crops: Sequence[int],
    exif: Exif,
    engine: EngineSettings,
) -> ClassificationTest:
    """Test the first of `models` alone and all together, with each number of `crops`, into `report/`.

    As in Table 3 of arXiv 1409.4842 probabilities are averaged over crops and over models. Scores are kept in the
    run: an interrupted test goes on where it was.
    """
    crops = tuple(sorted(set(crops)))
    stores = [run_classify(run, path, testing, crops, exif, engine) for path in models]
    rows: list[ClassificationRow] = []
    probs = np.empty((0, 0), np.float32)
    for used in sorted({1, len(models)}):
        for column, count in enumerate(crops):
            probs = _mean_probs(stores[:used], column, len(crops))
            rows.append(classification_row(used, count, probs, testing.labels))
    notes = {
        "Models": ", ".join(map(str, models)),
        "Data": f"{testing.name}: {len(testing)} images",
        "Notes on the data": "; ".join(testing.notes) or "none",
        **environment_notes(),
    }
    page = write_classification_report(
        run.path / "report", rows, probs, testing.labels, testing.classes, notes, html_name="index.html"
    )
    return ClassificationTest(tuple(rows), page)


def _mean_probs(stores: Sequence[Store], column: int, columns: int) -> Float32:
    """The means (n, C) over the models of the probabilities in one column of crop numbers."""
    total = sum(store.field("probs")[column::columns].astype(np.float64) for store in stores)
    return np.asarray(total / len(stores), np.float32)
