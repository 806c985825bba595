"""The benchmark of a machine: which parts there are, how they are run, and what comes out."""

from collections.abc import Collection
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from detector.bench.engines import EngineTable, engine_candidates, engine_choices, engine_table
from detector.bench.machine import Load, LoadWatch
from detector.bench.peers import PeerRow, peer_candidates, peer_rows
from detector.bench.rounds import run_rounds
from detector.bench.stage_costs import StageTable, stage_candidate, stage_table
from detector.bench.workload import Workload
from detector.networks.backbones import backbone_facts
from detector.runs.environment import environment_notes

Part = Literal["stages", "engines", "peer"]
PARTS: tuple[Part, ...] = ("stages", "engines", "peer")


@dataclass(frozen=True)
class BenchResult:
    """What was measured, and on what; a part that was not asked for is None, `failures` are those that failed."""

    notes: dict[str, str]
    load: Load
    settings: dict[str, Any]
    stages: StageTable | None
    engines: EngineTable | None
    peers: tuple[PeerRow, ...] | None
    failures: dict[str, str]


def run_bench(
    workload: Workload, parts: Collection[Part], seconds: float, rounds: int, watch: LoadWatch
) -> BenchResult:
    """Measure `parts`, each candidate for about `seconds` in each round; within a part all take turns."""
    stages, engines, peers = None, None, None
    failures: dict[str, str] = {}
    if "stages" in parts:
        (outcome,) = run_rounds([stage_candidate(workload)], seconds, rounds, "stages")
        stages = stage_table(workload, outcome) if outcome.rounds else None
        failures |= {outcome.name: outcome.failure} if outcome.failure else {}
    if "engines" in parts:
        has_int8 = bool(backbone_facts(workload.config.network.variant).rounded)
        choices = [each for each in engine_choices(workload.config.engine) if has_int8 or not each.is_int8]
        outcomes = run_rounds(engine_candidates(workload, choices), seconds, rounds, "engines")
        engines = engine_table(workload, choices, outcomes)
        failures |= {each.name: each.failure for each in outcomes if each.failure}
    if "peer" in parts:
        outcomes = run_rounds(peer_candidates(workload), seconds, rounds, "peer")
        peers = peer_rows(outcomes)
        failures |= {each.name: each.failure for each in outcomes if each.failure}
    config = workload.config
    settings = {name: getattr(config, name).model_dump(mode="json") for name in ("region", "network", "engine")}
    notes = {**environment_notes(), "Input": _input(workload), "Rounds": f"{rounds} of about {seconds:g} s each"}
    return BenchResult(notes, watch.stop(), settings, stages, engines, peers, failures)


def _input(workload: Workload) -> str:
    height, width = np.mean(workload.sizes, axis=0)
    network = workload.config.network
    weights = network.weights.name if network.weights else "random weights"
    region = workload.config.region
    return (
        f"{len(workload.paths)} {workload.origin}, {width:.0f}x{height:.0f} on average, "
        f"{workload.mean_regions:,.0f} regions each; {network.variant}, {weights}, {workload.outputs} outputs, "
        f"crops of {region.crop_size} pixels"
    )
