"""What the stages' results depend on, as hashes: two stages with equal inputs need not be run twice."""

import hashlib
from pathlib import Path
from typing import Any

import numpy as np

from detector.config import (
    ClassificationConfig,
    Config,
    EngineSettings,
    MultiBoxConfig,
    RegionSettings,
    TrainingSettings,
)
from detector.data.dataset import Dataset
from detector.data.labelled_images import LabelledImages
from detector.errors import DataError
from detector.files import file_hash
from detector.inference.backends import choose_backend
from detector.inference.proposer import proposal_method
from detector.networks.device import choose_device, choose_precision
from detector.runs.folder import Stage, key_of
from detector.runs.pretrained import weights_file
from detector.runs.store import Store

IMAGE_IDS = "image_ids"  # what manifests of stages call the hash of the ids


def images_hash(dataset: Dataset) -> str:
    """A hash of which images the data set holds, in which order and size."""
    return _hash_arrays(dataset.image_ids, dataset.paths, dataset.sizes)


def ids_hash(dataset: Dataset) -> str:
    """A hash of the ids of the data set's images in their order, which are the same wherever the files are."""
    return _hash_arrays(dataset.image_ids)


def check_images(stage: Stage, dataset: Dataset) -> None:
    """Raise DataError where a stage that is to be read says that it was made of other images."""
    if stage.facts().get(IMAGE_IDS, ids_hash(dataset)) != ids_hash(dataset):
        raise DataError(f"stage must be of the images of {dataset.name}, got one of others ({stage.folder})")


def truth_hash(dataset: Dataset) -> str:
    """A hash of the data set's objects, classes and what is known of its images."""
    objects = dataset.objects
    arrays = (objects.image, objects.boxes, objects.labels, objects.difficult, objects.crowd)
    names = np.array([dataset.classes.names])
    return _hash_arrays(*arrays, dataset.complete, dataset.indices, dataset.blacklist, names)


def labelled_hash(images: LabelledImages) -> str:
    """A hash of which images a classification set holds, in which order, and of which class each is."""
    return _hash_arrays(images.paths, images.labels, np.array([images.classes.names]))


def proposal_inputs(config: Config, dataset: Dataset) -> dict[str, Any]:
    """Inputs of the proposals of a data set; files count by what is in them."""
    settings = config.proposals
    method = proposal_method(settings.source)
    return {
        "images": images_hash(dataset),
        "exif": config.data.exif,
        "proposals": settings.model_dump(mode="json", exclude={"multibox": {"weights"}, "given": True}),
        "files": {name: file_hash(path) for name, path in method.files(settings).items() if path},
        "precision": precision_name(config.engine) if method.runs_a_network else None,
        "seed": config.seed,
    }


def multibox_inputs(config: MultiBoxConfig, dataset: Dataset, world: int) -> dict[str, Any]:
    """Inputs of a trained MultiBox network."""
    weights = weights_file(config.network.weights)
    return {
        "images": images_hash(dataset),
        "truth": truth_hash(dataset),
        "exif": config.data.exif,
        "network": config.network.model_dump(mode="json") | {"weights": str(weights) if weights else None},
        "weights": file_hash(weights) if weights else None,
        "multibox": config.multibox.model_dump(),
        "train": _training(config.train),
        "precision": precision_name(config.engine),
        "processes": world,
        "seed": config.seed,
    }


def label_inputs(config: Config, dataset: Dataset) -> dict[str, Any]:
    """Inputs of the labels of a data set's objects and regions."""
    return {
        "proposals": proposal_inputs(config, dataset),
        "truth": truth_hash(dataset),
        "positive_iou": config.finetune.positive_iou,
    }


def pretrain_inputs(config: Config, dataset: Dataset, world: int, start: Path | None) -> dict[str, Any]:
    """Inputs of the network trained on objects' boxes, from the weights `start`."""
    return {
        "images": images_hash(dataset),
        "truth": truth_hash(dataset),
        "exif": config.data.exif,
        "pretrain": _training(config.pretrain),
        **_network_inputs(config, world, start),
    }


def finetune_inputs(
    config: Config, dataset: Dataset, validation: Dataset | None, member: int, world: int, start: Path | None
) -> dict[str, Any]:
    """Inputs of the network fine-tuned from `start`; the number of processes decides who draws which dropout."""
    return {
        "labels": label_inputs(config, dataset),
        "validation": label_inputs(config, validation) if validation else None,
        "finetune": _training(config.finetune),
        **_network_inputs(config, world, start),
        **({"member": member} if member else {}),
    }


def region_inputs(config: Config, dataset: Dataset, regions: Store) -> dict[str, Any]:
    """Inputs of a store of a data set's regions: all its proposals, or those that a cascade kept."""
    proposals = proposal_inputs(config, dataset)
    kept = {} if regions.key == key_of(proposals) else {"kept": regions.key}
    return {"proposals": proposals, **kept}


def feature_inputs(config: Config, dataset: Dataset, regions: Store, model_hash: str) -> dict[str, Any]:
    """Inputs of what the network with this file hash makes of a data set's regions."""
    return {
        **region_inputs(config, dataset, regions),
        "model": model_hash,
        "region": _region(config.region),
        "engine": engine_name(config.engine),
    }


def score_inputs(config: Config, dataset: Dataset, regions: Store, scores: dict[str, Any]) -> dict[str, Any]:
    """Inputs of the scores of a data set's regions, which depend on `scores`."""
    return {
        **region_inputs(config, dataset, regions),
        "region": _region(config.region),
        "engine": engine_name(config.engine),
        "scores": scores,
    }


def detect_inputs(config: Config, dataset: Dataset, regions: Store, scores: dict[str, Any]) -> dict[str, Any]:
    """Inputs of the detections by scores of regions that depend on `scores`."""
    settings = config.detect.model_dump(exclude={"method"})
    return {**score_inputs(config, dataset, regions, scores), "detect": settings}


def evaluate_inputs(
    config: Config, dataset: Dataset, regions: Store, hashes: dict[str, str], methods: tuple[str, ...]
) -> dict[str, Any]:
    """Inputs of the report on the last of `methods`, beside the others, with the hashes of the models' files."""
    return {
        "detections": detect_inputs(config, dataset, regions, hashes),
        "ensemble": config.ensemble.model_dump(mode="json"),
        "methods": methods,
        "truth": truth_hash(dataset),
        "evaluate": config.evaluate.model_dump(),
    }


def training_inputs(config: ClassificationConfig, images_hash: str, world: int) -> dict[str, Any]:
    """Inputs of a trained classifier of whole images; the number of processes decides who draws which dropout."""
    weights = weights_file(config.network.weights)
    return {
        "images": images_hash,
        "exif": config.data.exif,
        "crop": config.crop.model_dump(),
        "network": config.network.model_dump(mode="json") | {"weights": str(weights) if weights else None},
        "weights": file_hash(weights) if weights else None,
        "train": _training(config.train),
        "precision": precision_name(config.engine),
        "processes": world,
        "seed": config.seed,
    }


def _region(region: RegionSettings) -> dict[str, Any]:
    """How regions are seen; of the settings added later those in use alone, so that older results still count."""
    first = {"crop_size": region.crop_size, "padding": region.padding}
    return first | region.model_dump(exclude_defaults=True)


def _network_inputs(config: Config, world: int, start: Path | None) -> dict[str, Any]:
    return {
        "region": _region(config.region),
        "network": config.network.model_dump(mode="json", exclude={"weights"}),
        "weights": file_hash(start) if start else None,
        "precision": precision_name(config.engine),
        "processes": world,
        "seed": config.seed,
    }


def _training(settings: TrainingSettings) -> dict[str, Any]:
    """The settings that change what is trained, not when it is saved and shown."""
    return settings.model_dump(mode="json", exclude={"checkpoint_every", "log_every"})


def precision_name(engine: EngineSettings) -> str:
    """The number format that the network is run in."""
    return str(choose_precision(engine.precision, choose_device(engine.device)))


def engine_name(engine: EngineSettings) -> str:
    """What regions are scored by: backends agree within a tolerance, not to the bit."""
    name = "int8" if engine.precision == "int8" else precision_name(engine)
    return f"{choose_backend(engine)} {name}"


def _hash_arrays(*arrays: np.ndarray[Any, Any]) -> str:
    digest = hashlib.sha256()
    for array in arrays:
        digest.update(f"{array.dtype} {array.shape}".encode())
        digest.update(np.ascontiguousarray(array).tobytes())
    return digest.hexdigest()[:16]
