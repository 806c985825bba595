"""How many maps engines make of images."""

from collections.abc import Sequence

import pytest
from torch import Tensor

from detector.inference import shared_engine
from detector.networks.backbones.base import Backbone
from detector.networks.shared_map import run_trunk


def counted_maps(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The numbers of maps that are made from now on, a pass at a time."""
    passes: list[int] = []

    def counted(backbone: Backbone, copies: Sequence[Tensor], together: bool) -> list[Tensor]:
        passes.append(len(copies))
        return run_trunk(backbone, copies, together)

    monkeypatch.setattr(shared_engine, "run_trunk", counted)
    return passes
