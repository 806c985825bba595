"""Calibration for `engine.precision=int8`: the ranges of a network's maps, measured on training images."""

from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import torch
from tqdm import tqdm

from detector.config import EngineSettings, RegionSettings
from detector.errors import DataError
from detector.inference.engine import make_engine
from detector.networks.quantized import MapPeaks, ranges_of, save_ranges
from detector.networks.region_classifier import Ranges
from detector.networks.weight_files.weights import load_model
from detector.records import Float32, Image
from detector.runs.split import Split
from detector.runs.stage import Stage
from detector.stages.region_sets import choose_images

IMAGES = 64  # of the training split
REGIONS = 4  # of each
SMALLEST_AREA = 0.01  # of a region, in the image's
LONGEST_ASPECT = 3.0  # of a region, beside the image's


def calibrate(
    stage: Stage,
    model: Path,
    training: Callable[[], Split],
    region: RegionSettings,
    engine: EngineSettings,
    seed: int,
) -> None:
    """Keep the ranges of the maps of the network `model`, where int8 is asked for and they are not known.

    They depend on the network, the training images and the seed alone, not on what is tested, nor on the number of
    processes, all of which must call this. `training` opens the run's training split; DataError where it cannot.
    """
    if engine.precision != "int8":
        return
    if stage.group.is_first:
        network = load_model(model)[0]
        if network.ranges is None:
            split = training()
            network.ranges = _measure(model, split, region, engine, seed)
            path = save_ranges(model, network)
            stage.log("calibrated", images=min(IMAGES, len(split)), ranges=str(path))
    stage.group.wait()


def _measure(model: Path, split: Split, region: RegionSettings, engine: EngineSettings, seed: int) -> Ranges:
    network, preprocessing, _ = load_model(model)
    measuring = make_engine(MapPeaks(network), preprocessing, region, engine.in_floats)
    found = [torch.from_numpy(answers["peaks"]) for _, answers in measuring.run(_draw(split, seed)) if answers]
    if not found:
        raise DataError(
            f"{split.dataset.name} must hold an image that can be read for engine.precision=int8, got none"
        )
    return ranges_of(network.backbone, torch.cat(found))


def _draw(split: Split, seed: int) -> Iterator[tuple[Image, Float32]]:
    """Random regions of random images; none of an image that cannot be read and may be skipped."""
    chosen = choose_images(np.ones(len(split), np.bool_), IMAGES, seed)
    for position in np.flatnonzero(chosen).tolist():
        try:
            image = split.read(position)
        except DataError as error:
            if not split.skips_bad:
                raise
            tqdm.write(f"skipped: {error}")
            continue
        height, width = image.shape[:2]
        yield image, random_regions(np.random.default_rng([seed, position]), height, width, REGIONS)


def random_regions(random: np.random.Generator, height: int, width: int, count: int) -> Float32:
    """Regions (count, 4) of all sizes from a hundredth of an image's area on, anywhere in it, all scales alike."""
    area = np.exp(random.uniform(np.log(SMALLEST_AREA), 0, count))
    stretch = np.exp(random.uniform(-1, 1, count) * np.log(LONGEST_ASPECT) / 2)
    share = np.stack([np.sqrt(area) * stretch, np.sqrt(area) / stretch], 1).clip(max=1)  # of width and height
    first = random.uniform(size=(count, 2)) * (1 - share)
    return (np.concatenate([first, first + share], 1) * [width, height, width, height]).astype(np.float32)
