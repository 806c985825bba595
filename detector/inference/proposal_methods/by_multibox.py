"""A trained MultiBox network (arXiv 1412.1441)."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from detector.config import EngineSettings, ProposalSettings
from detector.inference.proposer import MULTIBOX_WEIGHTS, ProposalMethod, required_file
from detector.records import Image, Proposals

if TYPE_CHECKING:
    from detector.inference.multibox_proposer import ImageWindows, MultiBoxProposer


@dataclass(frozen=True, eq=False)
class BoxedImages:
    """The best `count` boxes of each image; the windows of `group` images fill a forward pass."""

    multibox: "MultiBoxProposer"
    count: int
    group: int

    def prepare(self, image: Image) -> "ImageWindows":
        """The windows of `image` (H, W, 3) uint8 RGB."""
        return self.multibox.cut(image)

    def finish(self, images: Sequence["ImageWindows"]) -> Iterator[Proposals]:
        """What the network makes of them."""
        return self.multibox.propose(images, self.count)


def multibox_files(settings: ProposalSettings) -> dict[str, Path | None]:
    """The file of the network."""
    return {MULTIBOX_WEIGHTS: settings.multibox.weights}


def open_multibox(settings: ProposalSettings, engine: EngineSettings, seed: int) -> BoxedImages:
    """A proposer by the network in the settings' file; DataError where that is wrong."""
    # here, as settings are checked without torch
    from detector.inference.multibox_proposer import MultiBoxProposer
    from detector.networks.weight_files.multibox_weights import load_multibox

    network, preprocessing = load_multibox(required_file(settings, MULTIBOX_WEIGHTS))
    multibox = MultiBoxProposer(network, preprocessing, settings.multibox, engine)
    return BoxedImages(multibox, settings.multibox.boxes, multibox.group)


METHOD = ProposalMethod(open_multibox, files=multibox_files, runs_a_network=True)
