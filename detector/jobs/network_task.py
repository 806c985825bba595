"""The network that a detector's settings ask for, and the classifier that its training starts from."""

from pathlib import Path

from detector.config import Config
from detector.data.classes import ClassList
from detector.errors import DataError
from detector.networks.weight_files.class_groups import class_groups
from detector.networks.weight_files.weights import weights_header
from detector.runs.pretrained import weights_file
from detector.stages.start_network import NetworkTask


def network_task(config: Config, classes: ClassList) -> NetworkTask:
    """The network of a detector of `classes`; DataError where its classifier cannot begin as it should."""
    start = weights_file(config.network.weights)
    groups = () if start is None else _groups(config, start, classes)
    return NetworkTask(config.network, config.region, config.engine, config.log, config.seed, start, groups=groups)


def _groups(config: Config, start: Path, classes: ClassList) -> tuple[int, ...]:
    """For each class of the weights `start` the class it is summed into; () where the classifier is no sum.

    Weights of a detector of the same classes need no sums.
    """
    head = config.network.head
    sums = head == "synsets" or (head == "auto" and not config.pretrain.steps and not config.region.wide_padding)
    if not sums or weights_header(start).metadata.get("classes") == list(classes.names):
        return ()
    try:
        return class_groups(start, classes)
    except DataError as error:
        if head == "synsets":
            raise DataError(f"network.head=synsets: {error}") from None
        return ()
