"""What is measured: image files with regions, a network and settings; the same in every process."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from tqdm import tqdm

from detector.config import Config, EngineSettings
from detector.data.folders import require_folder
from detector.data.frames import Stills, find_sources
from detector.data.images import read_image
from detector.inference.ensemble import EnsembleEngine, Model
from detector.inference.proposer import open_proposer
from detector.networks.backbones import make_backbone
from detector.networks.member import Member
from detector.networks.quantized import measure_ranges
from detector.networks.region_classifier import RegionClassifier
from detector.networks.warp import Preprocessing, crop_regions, prepare_image
from detector.networks.weight_files.weights import load_model, weights_header
from detector.records import Float32
from detector.synthetic.detection_set import render_image
from detector.synthetic.set_files import write_jpeg

SYNTHETIC_CLASSES = 200  # of scenes, and of a network without weights: as many as ILSVRC-DET has
CALIBRATION = 8  # crops


@dataclass(frozen=True, eq=False)
class Workload:
    """Image files, the regions (N, 4) of each, N > 0, and the settings; `origin` says what the images are.

    `run` is the run folder that the weights are of, where they were given so, `words` the settings over its own.
    """

    config: Config
    origin: str
    paths: tuple[Path, ...]
    sizes: tuple[tuple[int, int], ...]
    boxes: tuple[Float32, ...]
    run: Path | None = None
    words: tuple[str, ...] = ()

    @property
    def mean_regions(self) -> float:
        """Regions an image."""
        return sum(map(len, self.boxes)) / len(self.boxes)

    @property
    def outputs(self) -> int:
        """Of the network, background included."""
        weights = self.config.network.weights
        return SYNTHETIC_CLASSES + 1 if weights is None else weights_header(weights).outputs

    def load_network(self) -> tuple[RegionClassifier, Preprocessing]:
        """The network in eval mode, with its weights or with random ones, which are always the same."""
        settings = self.config.network
        if settings.weights is not None:
            return load_model(settings.weights)[:2]
        torch.manual_seed(self.config.seed)
        backbone = make_backbone(settings.variant)
        network = RegionClassifier(backbone, self.outputs, crops=len(self.config.region.paddings))
        return network.eval(), backbone.facts.preprocessing

    def open_engine(self, settings: EngineSettings | None = None) -> EnsembleEngine:
        """The engine of `settings`, by default the workload's, as detectors run it."""
        settings = settings or self.config.engine
        network, preprocessing = self.load_network()
        if settings.precision == "int8" and network.ranges is None:
            # those of a few crops will do: speed does not depend on them
            network.ranges = measure_ranges(network, self.crops(CALIBRATION, preprocessing, torch.device("cpu")))
        return EnsembleEngine([Model(Member(network), preprocessing, self.config.region)], settings)

    def first_batch(self, engine: EnsembleEngine) -> Tensor:
        """What the network of `engine` is given first: a full batch of the first image's regions."""
        runner = engine.engines[0].runner
        forward, given = runner.forward, []

        def record(batch: Tensor) -> dict[str, Tensor]:
            given.append(batch.clone())
            return forward(batch)

        runner.forward = record
        image = read_image(self.paths[0], self.config.data.exif)
        list(engine.score([(image, _exactly(self.boxes[0], runner.batch_size))]))
        runner.forward = forward
        return given[0]

    def crops(self, count: int, preprocessing: Preprocessing, device: torch.device) -> Tensor:
        """Crops (count, 3 K, S, S) of the first image's regions, repeated where it has fewer."""
        image = torch.as_tensor(read_image(self.paths[0], self.config.data.exif)).to(device)
        boxes = torch.from_numpy(_exactly(self.boxes[0], count)).to(device)
        return crop_regions(prepare_image(image, preprocessing), boxes, self.config.region)


def open_workload(config: Config, folder: Path | None, count: int, regions: int, scratch: Path) -> Workload:
    """The first `count` images below `folder`, or synthetic scenes written to `scratch`, with their proposals.

    With `regions` exactly so many an image: the best proposals, repeated where there are fewer. DataError for a
    folder without images or an image that cannot be read.
    """
    paths = _make_scenes(count, config.seed, scratch) if folder is None else _find_images(folder, count)
    origin = "synthetic scenes" if folder is None else f"images of {folder}"
    proposer = open_proposer(config.proposals, config.engine, config.seed)
    sizes, boxes = [], []
    for path in tqdm(paths, desc="propose", unit="image", leave=False, disable=None):
        image = read_image(path, config.data.exif)
        (found,) = proposer.finish([proposer.prepare(image)])
        sizes.append((image.shape[0], image.shape[1]))
        boxes.append(_exactly(found.boxes, regions or len(found.boxes)))
    return Workload(config, origin, paths, tuple(sizes), tuple(boxes))


def _make_scenes(count: int, seed: int, scratch: Path) -> tuple[Path, ...]:
    paths = tuple(scratch / f"{index:04d}.jpg" for index in range(count))
    for index, path in enumerate(tqdm(paths, desc="scenes", unit="image", leave=False, disable=None)):
        write_jpeg(path, render_image(index, classes=SYNTHETIC_CLASSES, seed=seed, split="val")[0])
    return paths


def _find_images(folder: Path, count: int) -> tuple[Path, ...]:
    (found,) = find_sources([str(require_folder(folder, "--images"))])
    return found.paths[:count] if isinstance(found, Stills) else ()


def _exactly(boxes: Float32, count: int) -> Float32:
    return boxes[np.arange(count) % len(boxes)]
