"""What `engine.precision=int8` needs of a run: the ranges of its networks' maps, measured on training images."""

from collections.abc import Iterator

import numpy as np
import torch
from tqdm import tqdm

from detector.config import Config
from detector.data.dataset import Dataset
from detector.data.readers import open_dataset
from detector.errors import DataError
from detector.inference.engine import make_engine
from detector.networks.quantized import MapPeaks, ranges_of, save_ranges
from detector.networks.region_classifier import Ranges
from detector.networks.weight_files.weights import load_model
from detector.parallel import ordered_map
from detector.records import Float32, Image
from detector.runs.folder import RunFolder
from detector.runs.processes import Group
from detector.stages.region_features import choose_images
from detector.stages.region_sets import read_image_at

IMAGES = 64  # of the training split
REGIONS = 4  # of each
SMALLEST_AREA = 0.01  # of a region, in the image's
LONGEST_ASPECT = 3.0  # of a region, beside the image's


def run_calibrate(run: RunFolder, config: Config, group: Group, training: Dataset | None = None) -> None:
    """Measure the maps of a run's network and keep their ranges, where int8 is asked for and they are not known.

    They depend on the network, the training images and the seed alone, not on what is tested, nor on the number of
    processes, all of which must call this. `training` is the run's training split, which is opened where it is not
    given; DataError where it cannot be.
    """
    if config.engine.precision != "int8":
        return
    if group.is_first:
        network = load_model(run.model_path)[0]
        if network.ranges is None:
            dataset = training or open_dataset(config.data, config.data.train)
            network.ranges = _measure(run, config, dataset, group)
            path = save_ranges(run.model_path, network)
            run.log("calibrated", images=min(IMAGES, len(dataset)), ranges=str(path))
    group.wait()


def calibrate_members(run: RunFolder, config: Config, group: Group) -> None:
    """`run_calibrate` for every member of a run's ensemble."""
    for number in range(config.ensemble.members):
        run_calibrate(run.member(number), config, group)


def _measure(run: RunFolder, config: Config, dataset: Dataset, group: Group) -> Ranges:
    network, preprocessing, _ = load_model(run.model_path)
    engine = make_engine(MapPeaks(network), preprocessing, config.region, config.engine.in_floats)
    drawn = _draw(config, dataset, group.workers(config.engine.workers))
    found = [torch.from_numpy(answers["peaks"]) for _, answers in engine.run(drawn) if answers]
    if not found:
        raise DataError(f"{dataset.name} must hold an image that can be read for engine.precision=int8, got none")
    return ranges_of(torch.cat(found))


def _draw(config: Config, dataset: Dataset, workers: int) -> Iterator[tuple[Image, Float32]]:
    """Random regions of random images; none of an image that cannot be read and may be skipped."""
    chosen = choose_images(np.ones(len(dataset), np.bool_), IMAGES, config.seed)

    def load(position: int) -> tuple[Image, Float32]:
        try:
            image = read_image_at(dataset, config.data.exif, position)
        except DataError as error:
            if config.data.bad_images == "stop":
                raise
            tqdm.write(f"skipped: {error}")
            return np.zeros((1, 1, 3), np.uint8), np.empty((0, 4), np.float32)
        height, width = image.shape[:2]
        return image, random_regions(np.random.default_rng([config.seed, position]), height, width, REGIONS)

    return ordered_map(load, np.flatnonzero(chosen).tolist(), workers)


def random_regions(random: np.random.Generator, height: int, width: int, count: int) -> Float32:
    """Regions (count, 4) of all sizes from a hundredth of an image's area on, anywhere in it, all scales alike."""
    area = np.exp(random.uniform(np.log(SMALLEST_AREA), 0, count))
    stretch = np.exp(random.uniform(-1, 1, count) * np.log(LONGEST_ASPECT) / 2)
    share = np.stack([np.sqrt(area) * stretch, np.sqrt(area) / stretch], 1).clip(max=1)  # of width and height
    first = random.uniform(size=(count, 2)) * (1 - share)
    return (np.concatenate([first, first + share], 1) * [width, height, width, height]).astype(np.float32)
