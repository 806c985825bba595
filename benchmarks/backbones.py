"""Regions a second of every backbone, in turn in one run, beside what it has to compute.

python benchmarks/backbones.py [--seconds 5] [--rounds 5] [--regions 64] [section.key=value ...]

One full batch of warped regions of a synthetic scene goes through each network with random weights, 201 outputs,
at the size of crops that it was published with. Each is a process of its own (`detector.bench.rounds`).
"""

import argparse
import sys
import tempfile
from functools import partial
from pathlib import Path

from detector.bench.bench_settings import bench_settings
from detector.bench.engines import EngineChoice, open_engine
from detector.bench.rounds import Candidate, RoundOutcome, Spread, median_ratio, run_rounds
from detector.bench.stage_costs import engine_name
from detector.bench.workload import open_workload
from detector.choices import BACKBONES
from detector.networks.backbones import backbone_facts
from detector.networks.layer_table import describe, total
from detector.runs.environment import environment_notes

HEAD = "| `network.variant` | crop | parameters | multiply-adds | features | regions a second | beside `paper` |\n"
LEFT_OUT = ("tiny",)  # for tests


def main() -> None:
    """Print a Markdown table: median regions a second of the rounds, and ratios to `paper` in the same round."""
    options = parse()
    variants = [variant for variant in BACKBONES if variant not in LEFT_OUT]
    with tempfile.TemporaryDirectory() as scratch:
        candidates = [candidate(variant, options, Path(scratch)) for variant in variants]
        outcomes = run_rounds(candidates, options.seconds, options.rounds, "backbones")
    engine = engine_name(bench_settings(None, options.overrides).engine)
    notes = {**environment_notes(), "Engine": engine, "Rounds": f"{options.rounds} of {options.seconds:g} s each"}
    sys.stdout.write("\n".join(f"{key}: {value}" for key, value in notes.items()) + "\n\n")
    sys.stdout.write(HEAD + "|---" * HEAD.count("| ") + "|\n")
    for variant, outcome in zip(variants, outcomes, strict=True):
        sys.stdout.write(row(variant, outcome, outcomes[0]) + "\n")


def candidate(variant: str, options: argparse.Namespace, scratch: Path) -> Candidate:
    """The engine of the settings on a network of `variant`."""
    size = backbone_facts(variant).crop_size
    config = bench_settings(None, [*options.overrides, f"network.variant={variant}", f"region.crop_size={size}"])
    workload = open_workload(config, None, 1, options.regions, scratch)
    return Candidate(variant, partial(open_engine, workload, EngineChoice(config.engine)))


def row(variant: str, outcome: RoundOutcome, paper: RoundOutcome) -> str:
    """A line of the table."""
    facts, whole = backbone_facts(variant), total(describe(variant))
    counts = (
        f"{facts.crop_size}",
        f"{whole.parameters / 1e6:.1f} M",
        f"{whole.multiply_adds / 1e9:.2f} G",
        f"{facts.width:,}",
    )
    if outcome.failure:
        return f"| `{variant}` | {' | '.join(counts)} | {outcome.failure} | |"
    rates = outcome.rates("region")
    spread, ratio = Spread.of(rates), median_ratio(rates, paper.rates("region"))
    speed = f"{spread.median:.1f} ({spread.low:.1f} to {spread.high:.1f})"
    return f"| `{variant}` | {' | '.join(counts)} | {speed} | {ratio:.2f} |"


def parse() -> argparse.Namespace:
    """The options."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=5.0, help="of a turn")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--regions", type=int, default=64, help="of the scene")
    parser.add_argument("overrides", nargs="*", metavar="section.key=value")
    return parser.parse_args()


if __name__ == "__main__":
    main()
