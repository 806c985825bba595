"""Regions of images by selective search, by MultiBox, or by both (arXiv 1409.4842, section 8)."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from detector.config import EngineSettings, MultiBoxProposals, ProposalSettings
from detector.inference.multibox_proposer import ImageWindows, MultiBoxProposer
from detector.networks.weight_files.multibox_weights import load_multibox
from detector.proposals.merge import join_proposals
from detector.proposals.selective_search import selective_search
from detector.records import Image, Proposals


@dataclass(frozen=True, eq=False)
class Prepared:
    """What is known of an image's regions before the network has seen it."""

    searched: Proposals | None
    windows: ImageWindows | None


class Proposer:
    """Proposes regions by the sources that `settings` name; the same for the same seed."""

    def __init__(self, settings: ProposalSettings, engine: EngineSettings, seed: int) -> None:
        self.settings = settings
        self.seed = seed
        self.searches = settings.source in ("selective_search", "union")
        boxes = settings.source in ("multibox", "union")
        self.multibox = _open_multibox(settings.multibox, engine) if boxes else None

    def prepare(self, image: Image) -> Prepared:
        """All that needs no network, for `image` (H, W, 3) uint8 RGB; may run on any thread."""
        return Prepared(
            selective_search(image, self.settings, self.seed) if self.searches else None,
            self.multibox.cut(image) if self.multibox else None,
        )

    def finish(self, images: Sequence[Prepared]) -> Iterator[Proposals]:
        """The proposals of each image, in order."""
        count = self.settings.multibox.boxes
        windows = [image.windows for image in images if image.windows is not None]
        boxed = self.multibox.propose(windows, count) if self.multibox else iter(())
        for image in images:
            parts = [image.searched] if image.searched is not None else []
            parts += [next(boxed)] if image.windows is not None else []
            yield parts[0] if len(parts) == 1 else self._join(parts)

    def _join(self, parts: Sequence[Proposals]) -> Proposals:
        """The union: all of selective search's, which kept to its budget, and MultiBox's."""
        return join_proposals(parts, (0,) * len(parts), self.settings.duplicate_iou)


def _open_multibox(settings: MultiBoxProposals, engine: EngineSettings) -> MultiBoxProposer | None:
    if settings.weights is None:
        return None
    network, preprocessing = load_multibox(settings.weights)
    return MultiBoxProposer(network, preprocessing, settings, engine)
