"""How the classes of a file of weights make up those of a detector: ImageNet's, summed by WordNet's synsets."""

from pathlib import Path

from detector.data.classes import ClassList
from detector.data.synsets import imagenet_synsets, synset_labels
from detector.errors import DataError
from detector.networks.weight_files.model_facts import ModelFacts
from detector.networks.weight_files.weights import Header, weights_header


def class_groups(path: Path, classes: ClassList) -> tuple[int, ...]:
    """To which of `classes`, 1..C, each output of the network in a file counts; 0 is background.

    DataError where the file's classes are not ImageNet's 1,000, or for a class that is none of theirs.
    """
    labels = dict(zip(imagenet_synsets().classes, synset_labels(classes), strict=True))
    return tuple(labels[wnid] for wnid in output_synsets(weights_header(path), path))


def output_synsets(header: Header, path: Path) -> tuple[str, ...]:
    """The WNIDs of the outputs of the network in a file; DataError where they are not ImageNet's 1,000.

    A file that does not name its 1,000 classes has them in the order in which all published networks do.
    """
    known, stated = imagenet_synsets().classes, ModelFacts.of(header.metadata, path).classes
    found = known[: header.outputs] if stated is None else stated.wnids or stated.names
    if header.groups or header.outputs != len(known) or set(found) != set(known):
        raise DataError(f"weights must be of ImageNet's 1,000 classes, got {header.outputs} others ({path})")
    return found


def knows_imagenet(path: Path) -> bool:
    """Whether the network in a file is one of ImageNet's 1,000 classes in an order that is known."""
    try:
        return bool(output_synsets(weights_header(path), path))
    except DataError:
        return False
