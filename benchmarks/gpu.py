"""What a GPU reaches with this project: one JSON and one Markdown page, within minutes and without a network.

python benchmarks/gpu.py [--out runs/gpu] [--seconds 420] [--small] [--only PART ...]

`gpu.sh` beside it says what must be installed, and runs this with the tests of the GPU. Each part is measured by
itself, in this order, and written as soon as it is done; what the time no longer allows is left out and told. With
`--small` everything is of a size that a CPU can do: for the test that this script still runs.
"""

import argparse
import json
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from gpu_device import busy_share, number_formats
from gpu_training import training
from torch import Tensor, nn

from detector.bench.engines import EngineChoice, matrix_products, open_engine, region_flops
from detector.bench.machine import seconds_each
from detector.bench.peers import LONGEST_SIDE, SHORTER_SIDE, open_faster_rcnn
from detector.bench.workload import Workload
from detector.config import Config, DetectSettings, EngineSettings, parse_config
from detector.data.images import read_image
from detector.inference.ensemble import EnsembleEngine, Model
from detector.inference.select import select
from detector.networks.device import PRECISIONS, choose_device
from detector.networks.member import Member
from detector.parallel import ordered_map, worker_count
from detector.records import ClassScores, Float32, Image
from detector.runs.environment import environment_notes
from detector.synthetic.detection_set import render_image
from detector.synthetic.set_files import write_jpeg

HEIGHT, WIDTH = 415, 482  # pixels of an image: ILSVRC-DET's mean
MEMBERS = 6
CLASSES = 200
SIDE, SMALL_SIDE = 8192, 256  # of the matrices
SMALL_PEER = (64, 128)  # pixels of an image that Faster R-CNN sees, where all is small
FORMATS = {  # a name, the number format, TF32, cuDNN's own trials
    "fp32": ("fp32", False, False),
    "TF32": ("fp32", True, False),
    "bf16": ("bf16", True, False),
    "bf16, cuDNN's choice by trial": ("bf16", True, True),
}

Row = dict[str, Any]


@dataclass(frozen=True)
class Bench:
    """What all parts need: the images with their regions, seconds a number, and how large everything is."""

    workload: Workload
    seconds: float
    is_small: bool

    @property
    def device(self) -> torch.device:
        """Where it is measured."""
        return choose_device(self.workload.config.engine.device)

    def settings(self, precision: str, **further: Any) -> EngineSettings:
        """An engine's, in torch."""
        update = {"precision": precision, "backend": "torch", **further}
        return self.workload.config.engine.model_copy(update=update)

    def engine(self, precision: str, members: int = 1, graph: bool = False, **region: Any) -> EnsembleEngine:
        """So many networks alike."""
        network, preprocessing = self.workload.load_network()
        own = self.workload.config.region.model_copy(update=region)
        models = [Model(Member(network), preprocessing, own) for _ in range(members)]
        return EnsembleEngine(models, self.settings(precision, graph=graph))

    def images(self) -> list[tuple[Image, Float32]]:
        """All images, decoded, with their regions."""
        return [
            (read_image(path), boxes) for path, boxes in zip(self.workload.paths, self.workload.boxes, strict=True)
        ]

    def regions_a_second(self, engine: EnsembleEngine) -> Row:
        """From decoded images to scores, and how much of that time the device was at work."""
        images = self.images()
        total = sum(len(boxes) for _, boxes in images)

        def one_pass() -> None:
            for _ in engine.views(images):
                pass

        one_pass()
        each = seconds_each(one_pass, self.seconds, self.device)
        return {
            "regions_per_second": total / each,
            "images_per_second": len(images) / each,
            "busy": busy_share(one_pass, self.device),
        }


def products(bench: Bench) -> list[Row]:
    """The product of two large matrices in each format."""
    side = SMALL_SIDE if bench.is_small else SIDE
    rows = []
    for name, (precision, tf32, _) in FORMATS.items():
        with number_formats(tf32):
            steps = matrix_products(PRECISIONS[precision], side, bench.device)
            for step in steps:
                step()
            best = min(seconds_each(step, bench.seconds / 2, bench.device) for step in steps)
        rows.append({"what": f"{name}, matrices of {side}", "gflops": 2e-9 * side**3 / best})
    return rows[: len(FORMATS) - 1]


def layers(bench: Bench) -> list[Row]:
    """Convolutions and linear layers one by one, each on the maps it has in the network: what they could reach."""
    rows = []
    config = bench.workload.config
    flops = region_flops(config.network.variant, config.region, bench.workload.outputs)
    for name, (precision, tf32, by_trial) in FORMATS.items():
        with number_formats(tf32, by_trial):
            batch, seconds = layer_seconds(bench, PRECISIONS[precision])
        rate = batch / seconds
        rows.append({"what": name, "batch": batch, "regions_per_second": rate, "gflops": rate * flops * 1e-9})
    return rows


@torch.inference_mode()
def layer_seconds(bench: Bench, precision: torch.dtype) -> tuple[int, float]:
    """The batch, and the seconds of all convolutions and linear layers on it, one after another."""
    network, _ = bench.workload.load_network()
    batch = bench.engine("fp32").engines[0].runner.batch_size
    placed = network.to(bench.device, precision).to(memory_format=torch.channels_last)
    given: dict[tuple[Any, ...], tuple[nn.Module, Tensor, int]] = {}

    def note(layer: nn.Module, inputs: tuple[Tensor, ...]) -> None:
        shapes = tuple(tuple(each.shape) for each in (inputs[0], *layer.parameters()))
        _, held, times = given.get(shapes, (layer, inputs[0].clone(), 0))
        given[shapes] = layer, held, times + 1

    hooks = [
        layer.register_forward_pre_hook(note)
        for layer in placed.modules()
        if isinstance(layer, nn.Conv2d | nn.Linear)
    ]
    size = bench.workload.config.region.crop_size
    crops = torch.zeros(batch, 3 * network.crops, size, size, dtype=precision, device=bench.device)
    placed(crops.contiguous(memory_format=torch.channels_last))
    for hook in hooks:
        hook.remove()
    spent = 0.0
    for layer, maps, times in given.values():
        layer(maps)
        spent += times * seconds_each(partial(repeated, partial(layer, maps), 5), 0.0, bench.device) / 5
    return batch, spent


def forwards(bench: Bench) -> list[Row]:
    """Forward passes alone on a full batch, in every number format, and captured as a CUDA graph."""
    rows = []
    for name, (precision, tf32, by_trial) in FORMATS.items():
        with number_formats(tf32, by_trial):
            rows.append({"what": name, **forward_rate(bench, EngineChoice(bench.settings(precision)))})
    if bench.device.type == "cuda":
        rows.append(
            {"what": "bf16, CUDA graph", **forward_rate(bench, EngineChoice(bench.settings("bf16", graph=True)))}
        )
    return rows


def compiled(bench: Bench) -> list[Row]:
    """Forward passes alone, compiled: compiling takes a minute or more."""
    return [{"what": "bf16, compiled", **forward_rate(bench, EngineChoice(bench.settings("bf16", compile=True)))}]


def forward_rate(bench: Bench, choice: EngineChoice) -> Row:
    """Regions a second of an engine's forward passes."""
    measure = open_engine(bench.workload, choice)
    measure(0.0)
    found = measure(bench.seconds)
    return {"batch": int(found["batch"]), "regions_per_second": 1 / found["region"]}


def engines(bench: Bench) -> list[Row]:
    """Engines whole, from decoded images to scores."""
    rows = []
    for name, (precision, tf32, by_trial) in FORMATS.items():
        with number_formats(tf32, by_trial):
            rows.append({"what": name, **bench.regions_a_second(bench.engine(precision))})
    if bench.device.type == "cuda":
        rows.append({"what": "bf16, CUDA graph", **bench.regions_a_second(bench.engine("bf16", graph=True))})
    return rows


def shared(bench: Bench) -> list[Row]:
    """As `engines`, by shared maps."""
    region: dict[str, Any] = {"shared_side": (64,), "shared_longest": 128} if bench.is_small else {}
    return [{"what": "bf16", **bench.regions_a_second(bench.engine("bf16", mode="shared", **region))}]


def ensemble(bench: Bench) -> list[Row]:
    """As `engines`, by several networks."""
    members = 2 if bench.is_small else MEMBERS
    return [{"what": f"{members} models, bf16", **bench.regions_a_second(bench.engine("bf16", members))}]


def selection(bench: Bench) -> list[Row]:
    """Choosing detections on the CPU's threads: with random scores all classes have all regions as candidates."""
    boxes = bench.workload.boxes[0]
    rows = []
    settings, random = bench.workload.config.detect, np.random.default_rng(0)
    classes = bench.workload.outputs - 1
    for share in (
        1.0,
        0.02,
    ):  # of the scores that reach `min_score`: the worst, and about what a trained network has
        scores = random.random((len(boxes), classes), np.float32)
        lowest = 1 - share
        found = ClassScores(np.broadcast_to(boxes[:, None], (*scores.shape, 4)), scores)
        select(found, lowest, settings)
        for workers in (1, worker_count(-1)):
            chosen = partial(select_all, found, lowest, settings, workers)
            each = seconds_each(chosen, bench.seconds / 4, torch.device("cpu")) / (2 * workers)
            what = f"{share:.0%} of the scores, {workers} threads"
            rows.append({"what": what, "images_per_second": 1 / each})
    return rows


def select_all(scores: ClassScores, lowest: float, settings: DetectSettings, workers: int) -> None:
    """Two images a thread."""
    for _ in ordered_map(lambda _: select(scores, lowest, settings), range(2 * workers), workers):
        pass


def files(bench: Bench) -> list[Row]:
    """From image files and stored proposals to detections, as a test stage goes about it."""
    engine, config = bench.engine("bf16"), bench.workload.config
    workers = worker_count(config.engine.workers)
    stored = [path.with_suffix(".npy") for path in bench.workload.paths]
    for path, boxes in zip(stored, bench.workload.boxes, strict=True):
        np.save(path, boxes)

    def load(pair: tuple[Path, Path]) -> tuple[Image, Float32]:
        return read_image(pair[0]), np.load(pair[1])

    def one_pass() -> None:
        pairs = zip(bench.workload.paths, stored, strict=True)
        scored = engine.score(ordered_map(load, pairs, workers))
        for _ in ordered_map(lambda found: select(found, 0.5, config.detect), scored, workers):
            pass

    one_pass()
    each = seconds_each(one_pass, bench.seconds, bench.device) / len(stored)
    return [{"what": "bf16", "images_per_second": 1 / each, "busy": busy_share(one_pass, bench.device)}]


def peer(bench: Bench) -> list[Row]:
    """torchvision's Faster R-CNN on this backbone, fp32 with TF32, from files to detections of its own regions."""
    workload, sides = bench.workload, (SHORTER_SIDE, LONGEST_SIDE)
    if bench.is_small:  # of the tiny network it has no pyramid
        network = workload.config.network.model_copy(update={"variant": "paper_bn"})
        workload, sides = (
            replace(workload, config=workload.config.model_copy(update={"network": network})),
            SMALL_PEER,
        )
    with number_formats(True):
        measure = open_faster_rcnn(workload, *sides)
        measure(0.0)
        return [{"what": "Faster R-CNN, TF32", "images_per_second": 1 / measure(bench.seconds)["image"]}]


PARTS: dict[str, Callable[[Bench], list[Row]]] = {
    "products": products,
    "layers": layers,
    "forwards": forwards,
    "engines": engines,
    "training": training,
    "shared": shared,
    "ensemble": ensemble,
    "files": files,
    "selection": selection,
    "peer": peer,
    "compiled": compiled,
}


def repeated(step: Callable[[], object], times: int) -> None:
    """The step so often."""
    for _ in range(times):
        step()


def make_workload(folder: Path, is_small: bool, device: str) -> Workload:
    """Synthetic scenes of ILSVRC's mean size with random regions; smaller and fewer where asked."""
    scale, images, regions = (4, 2, 12) if is_small else (1, 16, 1400)
    tree: dict[str, Any] = {"name": "gpu", "engine": {"device": device, "batch_size": 8 if is_small else 0}}
    if is_small:
        tree |= {"network": {"variant": "tiny"}, "region": {"crop_size": 64, "padding": 4}}
    config = parse_config(Config, tree, "gpu.py")
    random = np.random.default_rng(0)
    paths, boxes = [], []
    for number in range(images):
        scene, _ = render_image(number, classes=CLASSES, seed=0, split="val")
        sized = np.resize(scene, (HEIGHT // scale, WIDTH // scale, 3))
        paths.append(folder / f"{number:04d}.jpg")
        write_jpeg(paths[-1], sized)
        corners = np.sort(random.uniform(0, 1, (regions, 2, 2)), 1).reshape(regions, 4)
        boxes.append((corners * ([sized.shape[1], sized.shape[0]] * 2) + [0, 0, 1, 1]).astype(np.float32))
    sizes = ((HEIGHT // scale, WIDTH // scale),) * images
    return Workload(config, "synthetic scenes", tuple(paths), sizes, tuple(boxes))


def page(notes: dict[str, str], found: dict[str, Any]) -> str:
    """The results as Markdown."""
    lines = ["# A GPU", "", *(f"{name}: {note}  " for name, note in notes.items())]
    for name, part in found.items():
        text = PARTS[name].__doc__ or ""
        lines += ["", f"## {name.capitalize()}", "", text.splitlines()[0], ""]
        if part.get("failure"):
            lines.append(f"Failed: {part['failure']}")
            continue
        columns = list(dict.fromkeys(key for row in part["rows"] for key in row))
        lines += [f"| {' | '.join(each.replace('_', ' ') for each in columns)} |", "|---" * len(columns) + "|"]
        lines += [f"| {' | '.join(cell(row.get(each)) for each in columns)} |" for row in part["rows"]]
    return "\n".join(lines) + "\n"


def cell(value: Any) -> str:
    """A number with three digits, or text."""
    if isinstance(value, float):
        return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"
    return "" if value is None else str(value)


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure, and write gpu.json and gpu.md; 1 where a part failed."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=Path("runs/gpu"))
    parser.add_argument("--seconds", type=float, default=420.0, help="for all parts together")
    parser.add_argument("--small", action="store_true", help="of a size for CPUs")
    parser.add_argument("--device", default="auto")
    parser.add_argument("--only", nargs="+", choices=PARTS, default=list(PARTS), metavar="PART")
    options = parser.parse_args(arguments)
    started = time.monotonic()
    options.out.mkdir(parents=True, exist_ok=True)
    found: dict[str, Any] = {}
    with tempfile.TemporaryDirectory() as scratch:
        workload = make_workload(Path(scratch), options.small, options.device)
        bench = Bench(workload, 0.0 if options.small else 2.0, options.small)
        notes = {
            **environment_notes(),
            "Device": str(bench.device),
            "Input": f"{len(workload.paths)} images of "
            f"{workload.sizes[0][1]}x{workload.sizes[0][0]}, {workload.mean_regions:,.0f} regions each",
        }
        for name in options.only:
            spent = time.monotonic() - started
            found[name] = run_part(PARTS[name], bench) if spent < options.seconds else {"failure": "no time left"}
            sys.stderr.write(f"{name}: {time.monotonic() - started:.0f} s\n")
            write(options.out, notes, found)
    sys.stdout.write(page(notes, found))
    return int(any(part.get("failure") for part in found.values()))


def run_part(part: Callable[[Bench], list[Row]], bench: Bench) -> dict[str, Any]:
    """Its rows and seconds, or why it failed: the others are measured all the same."""
    started = time.monotonic()
    try:
        rows = part(bench)
    except Exception as error:  # whatever a machine that nobody has seen yet may say
        return {"failure": f"{type(error).__name__}: {' '.join(str(error).split())[:300]}"}
    finally:
        if torch.cuda.is_available():
            torch.cuda.empty_cache()
    return {"rows": rows, "seconds": time.monotonic() - started}


def write(out: Path, notes: dict[str, str], found: dict[str, Any]) -> None:
    """Both files, with what there is so far."""
    (out / "gpu.json").write_text(json.dumps({"notes": notes, "parts": found}, indent=2) + "\n", encoding="utf-8")
    (out / "gpu.md").write_text(page(notes, found), encoding="utf-8")


if __name__ == "__main__":
    sys.exit(main())
