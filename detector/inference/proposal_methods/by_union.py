"""Selective search joined with MultiBox (arXiv 1409.4842, section 8)."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from detector.config import EngineSettings, ProposalSettings
from detector.inference.proposal_methods.by_multibox import multibox_files, open_multibox
from detector.inference.proposal_methods.by_search import open_search
from detector.inference.proposer import ProposalMethod, Proposer
from detector.proposals.merge import join_proposals
from detector.records import Image, Proposals


@dataclass(frozen=True, eq=False)
class UnionProposer:
    """All regions of the `parts`, near-duplicates left out; those of earlier parts go first."""

    parts: tuple[Proposer, ...]
    duplicate_iou: float

    @property
    def group(self) -> int:
        """That of the part with the largest."""
        return max(part.group for part in self.parts)

    def prepare(self, image: Image) -> list[Any]:
        """What each part makes of `image` (H, W, 3) uint8 RGB."""
        return [part.prepare(image) for part in self.parts]

    def finish(self, images: Sequence[list[Any]]) -> Iterator[Proposals]:
        """The union: each part has kept to its own budget."""
        found = [part.finish([image[place] for image in images]) for place, part in enumerate(self.parts)]
        for proposals in zip(*found, strict=True):
            yield join_proposals(proposals, (0,) * len(proposals), self.duplicate_iou)


def open_union(settings: ProposalSettings, engine: EngineSettings, seed: int) -> UnionProposer:
    """A proposer by both; DataError where MultiBox's file is wrong."""
    parts = (open_search(settings, engine, seed), open_multibox(settings, engine, seed))
    return UnionProposer(parts, settings.duplicate_iou)


METHOD = ProposalMethod(open_union, files=multibox_files, runs_a_network=True)
