"""Stage `classify`: a model's probabilities for every image of a split, by several numbers of crops."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np

from detector.config import EngineSettings
from detector.data.images import Exif, read_image
from detector.data.labelled_images import (
    LabelledImages,
)
from detector.errors import DataError
from detector.files import file_hash
from detector.inference.classify import ImageClassifier
from detector.networks.weight_files.model_facts import ModelFacts
from detector.networks.weight_files.weights import load_model
from detector.parallel import ordered_map, worker_count
from detector.progress import progress_bar
from detector.records import Image
from detector.runs.folder import RunFolder
from detector.runs.split import LONGEST_SLUG, labelled_key
from detector.runs.store import Fields, Store, StoreWriter
from detector.stages.region_rows import precision_name

VERSION = 1  # of the stage
SHARD_IMAGES = 64
SHARD_BATCHES = 16  # at least, so that its last, partial batch costs little


def run_classify(
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
    with progress_bar(total=len(testing), initial=done, desc=label, unit="image") as progress:
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
