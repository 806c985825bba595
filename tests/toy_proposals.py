"""A proposal method as CONTRIBUTING.md tells to add one: the quarters of an image, the brightest first."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from detector.config import EngineSettings, ProposalSettings
from detector.inference.proposer import ProposalMethod
from detector.records import Image, Proposals


@dataclass(frozen=True)
class Quarters:
    """Proposes at most `count` quarters of each image."""

    count: int
    group: int = 1

    def prepare(self, image: Image) -> Proposals:
        """All of the work."""
        height, width = np.array(image.shape[:2]) // 2
        corners = np.array([(x, y) for y in (0, height) for x in (0, width)], np.float32)
        boxes = np.concatenate([corners, corners + np.array([width, height], np.float32)], axis=1)
        light = [image[int(y1) : int(y2), int(x1) : int(x2)].mean() / 255 for x1, y1, x2, y2 in boxes]
        order = np.argsort(-np.array(light), kind="stable")[: self.count]
        return Proposals(boxes[order], np.array(light, np.float32)[order])

    def finish(self, images: Sequence[Proposals]) -> Iterator[Proposals]:
        """Nothing is left to do."""
        return iter(images)


def open_quarters(settings: ProposalSettings, engine: EngineSettings, seed: int) -> Quarters:
    """`max_boxes` of them, or all."""
    return Quarters(settings.max_boxes or 4)


METHOD = ProposalMethod(open_quarters)
