"""Testing classifiers of whole images: class probabilities by many crops and models, their errors, the report."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from tqdm import tqdm

from detector.config import EngineSettings, ImageSettings
from detector.data.classes import ClassList
from detector.data.images import Exif, read_image
from detector.data.labelled_images import (
    LabelledImages,
    numbered_classes,
    read_class_names,
    read_labelled_images,
)
from detector.errors import DataError
from detector.evaluation.classification import ClassificationRow, classification_row, classification_table
from detector.files import file_hash
from detector.inference.classify import ImageClassifier
from detector.networks.weight_files.model_facts import ModelFacts
from detector.networks.weight_files.weights import load_model, weights_header
from detector.parallel import ordered_map, worker_count
from detector.records import Float32, Image
from detector.reports.classification_report import write_classification_report
from detector.runs.environment import environment_notes
from detector.runs.folder import RunFolder
from detector.runs.split import LONGEST_SLUG, labelled_key
from detector.runs.store import Fields, Store, StoreWriter
from detector.stages.region_rows import precision_name

VERSION = 1  # of the stage
SHARD_IMAGES = 64
SHARD_BATCHES = 16  # at least, so that its last, partial batch costs little


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
    stores = [_run_scores(run, path, testing, crops, exif, engine) for path in models]
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


def _run_scores(
    run: RunFolder,
    path: Path,
    testing: LabelledImages,
    crops: tuple[int, ...],
    exif: Exif,
    engine: EngineSettings,
) -> Store:
    """Stage `classify`: the probabilities by one model, one row an image and number of crops."""
    fields: Fields = {"probs": (np.dtype(np.float32), (len(testing.classes),))}
    stage = run.stage("classify", f"{testing.name.replace('/', '_')[-LONGEST_SLUG:]}-{file_hash(path)}")
    result = stage.result(
        VERSION,
        images=labelled_key(testing),
        model=path,
        crops=crops,
        exif=exif,
        precision=precision_name(engine),
    )
    folder = result.folder / "store"
    if result.is_done() and Store.is_done(folder, result.key, fields, len(testing)):
        return Store.open(folder, result.key)
    classifier = _open_classifier(path, testing, engine)
    result.begin()
    shard = max(SHARD_IMAGES, SHARD_BATCHES * classifier.runner.batch_size // max(crops))
    writer = StoreWriter(folder, fields, len(testing), result.key, shard)
    _score(writer, classifier, testing, crops, exif, engine)
    store = writer.finish()
    result.finish(weights=str(path))
    return store


def _open_classifier(path: Path, testing: LabelledImages, engine: EngineSettings) -> ImageClassifier:
    network, preprocessing, metadata = load_model(path)
    facts, outputs = ModelFacts.of(metadata, path), network.classifier.out_features
    names = (facts.classes or testing.classes).names
    if names != testing.classes.names or len(names) != outputs:
        raise DataError(
            f"classes of {testing.name} must be the {outputs} of the model in their order,"
            f" got {len(testing.classes)} classes ({path})"
        )
    return ImageClassifier(network, preprocessing, facts.crop_size, engine)


def _score(
    writer: StoreWriter,
    classifier: ImageClassifier,
    testing: LabelledImages,
    crops: tuple[int, ...],
    exif: Exif,
    engine: EngineSettings,
) -> None:
    """Write what is missing of the scores of all images."""
    shards = writer.missing_shards()
    left = [writer.left(shard) for shard in shards]
    done = len(testing) - sum(map(len, left))
    label = f"classify, {max(crops)} crop{'s' if max(crops) > 1 else ''}"
    with tqdm(total=len(testing), initial=done, desc=label, unit="image") as progress:
        for shard, positions in zip(shards, left, strict=True):
            found = classifier.classify(_images(testing, positions, exif, engine), crops)
            for position, probs in zip(positions, found, strict=True):
                writer.append(position, {"probs": probs})
                progress.update()
            writer.close_shard(shard)


def _images(testing: LabelledImages, positions: range, exif: Exif, engine: EngineSettings) -> Iterator[Image]:
    """The images at `positions`, decoded ahead."""

    def load(position: int) -> Image:
        return read_image(Path(testing.paths[position]), exif)

    return ordered_map(load, positions, worker_count(engine.workers))
