"""What the stages' results depend on, as hashes: two stages with equal inputs need not be run twice."""

import hashlib
from typing import Any

import numpy as np

from detector.config import Config
from detector.data.dataset import Dataset
from detector.networks.device import choose_device, choose_precision
from detector.pipeline.run import file_hash


def images_hash(dataset: Dataset) -> str:
    """A hash of which images the data set holds, in which order and size."""
    return _hash_arrays(dataset.image_ids, dataset.paths, dataset.sizes)


def truth_hash(dataset: Dataset) -> str:
    """A hash of the data set's objects, classes and what is known of its images."""
    objects = dataset.objects
    arrays = (objects.image, objects.boxes, objects.labels, objects.difficult, objects.crowd)
    names = np.array([dataset.classes.names])
    return _hash_arrays(*arrays, dataset.exhaustive, dataset.indices, dataset.blacklist, names)


def proposal_inputs(config: Config, dataset: Dataset) -> dict[str, Any]:
    """Inputs of the proposals of a data set."""
    return {
        "images": images_hash(dataset),
        "exif": config.data.exif,
        "proposals": config.proposals.model_dump(mode="json"),
        "seed": config.seed,
    }


def finetune_inputs(config: Config, dataset: Dataset) -> dict[str, Any]:
    """Inputs of the fine-tuned network."""
    weights = config.network.weights
    return {
        "proposals": proposal_inputs(config, dataset),
        "truth": truth_hash(dataset),
        "region": config.region.model_dump(),
        "network": config.network.model_dump(mode="json"),
        "weights": file_hash(weights) if weights else None,
        "finetune": config.finetune.model_dump(exclude={"checkpoint_every", "log_every"}),
        "precision": _precision(config),
        "seed": config.seed,
    }


def detect_inputs(config: Config, dataset: Dataset, model_hash: str) -> dict[str, Any]:
    """Inputs of the detections of the model with this file hash."""
    return {
        "proposals": proposal_inputs(config, dataset),
        "model": model_hash,
        "detect": config.detect.model_dump(),
        "precision": _precision(config),
    }


def evaluate_inputs(config: Config, dataset: Dataset, model_hash: str) -> dict[str, Any]:
    """Inputs of the report."""
    return {
        "detections": detect_inputs(config, dataset, model_hash),
        "truth": truth_hash(dataset),
        "evaluate": config.evaluate.model_dump(),
    }


def _precision(config: Config) -> str:
    return str(choose_precision(config.engine.precision, choose_device(config.engine.device)))


def _hash_arrays(*arrays: np.ndarray[Any, Any]) -> str:
    digest = hashlib.sha256()
    for array in arrays:
        digest.update(f"{array.dtype} {array.shape}".encode())
        digest.update(np.ascontiguousarray(array).tobytes())
    return digest.hexdigest()[:16]
