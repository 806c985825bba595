"""Selective search (Uijlings et al., IJCV 2013)."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from detector.config import EngineSettings, ProposalSettings
from detector.inference.proposer import ProposalMethod
from detector.proposals.selective_search import selective_search
from detector.records import Image, Proposals


@dataclass(frozen=True)
class SearchProposer:
    """Searches images, all of the work on the threads that prepare them."""

    settings: ProposalSettings
    seed: int
    group: int = 1

    def prepare(self, image: Image) -> Proposals:
        """The regions of `image` (H, W, 3) uint8 RGB."""
        return selective_search(image, self.settings, self.seed)

    def finish(self, images: Sequence[Proposals]) -> Iterator[Proposals]:
        """The same."""
        return iter(images)


def open_search(settings: ProposalSettings, engine: EngineSettings, seed: int) -> SearchProposer:
    """A proposer by selective search."""
    return SearchProposer(settings, seed)


METHOD = ProposalMethod(open_search)
