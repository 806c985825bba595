"""What the key of every training of a network holds beside its data and its own settings."""

from pathlib import Path
from typing import Any

from detector.config import EngineSettings, NetworkSettings
from detector.runs.processes import Group
from detector.stages.region_rows import precision_name


def training_reads(
    network: NetworkSettings, start: Path | None, engine: EngineSettings, group: Group, seed: int
) -> dict[str, Any]:
    """What a training from the weights `start` reads; the number of processes decides who draws which dropout."""
    return {
        "network": network.model_dump(exclude={"weights", "head"}),
        "start": start,
        "precision": precision_name(engine),
        "processes": group.world,
        "seed": seed,
    }
