"""The engine of regions that share the maps of their image: the same answers as of crops, several times as fast.

The network up to the shared map runs once on each image, in torch on any device, as images differ in size. What
follows runs on full batches of pooled regions, whatever image they come from, by the backend of the settings.
"""

import copy
from collections.abc import Iterator
from itertools import islice
from typing import NamedTuple

import torch
from torch import Tensor, nn

from detector.config import EngineSettings, RegionSettings
from detector.inference.batches import BatchRunner, CropJob, Regions
from detector.networks.device import choose_batch_size, choose_device, choose_precision
from detector.networks.region_classifier import RegionClassifier
from detector.networks.roi_align import MapTable, Windows, join_maps
from detector.networks.shared_map import (
    ImageRegions,
    mirror_boxes,
    place_regions,
    pool_windows,
    run_trunk,
    scale_image,
)
from detector.networks.warp import Preprocessing, prepare_image
from detector.records import Array, Float32, Image

TOGETHER = 4  # images whose maps a GPU makes at once, those of one size in one pass


class SharedEngine:
    """Runs any module on regions of images pooled from their maps, with one network on one device.

    As `CropEngine`, but the module is given shared maps in place of crops, and all its parts must have the same
    network. A `mirrored` engine looks at mirrored images; the maps it gives are turned back, so that a module that
    mirrors what it is given sees what the network makes of mirrored regions.
    """

    def __init__(
        self,
        module: nn.Module,
        preprocessing: Preprocessing,
        region: RegionSettings,
        settings: EngineSettings,
        mirrored: bool = False,
    ) -> None:
        self.region = region
        self.preprocessing = preprocessing
        self.mirrored = mirrored
        network = _only_network(module)
        self.shared = network.backbone.facts.shared
        channels = self.shared.channels * len(region.paddings)
        # a pooled region takes a quarter of a crop's memory, whose first maps are the largest
        size = choose_batch_size(settings.batch_size, choose_device(settings.device), region.crop_size // 2)
        sized = settings.model_copy(update={"batch_size": size})
        self.runner = BatchRunner(module, self.shared.map_side(region.crop_size), sized, channels)
        self.precision = choose_precision(settings.precision, self.runner.device)
        self.network = self._place(network)

    def run(self, images: Regions) -> Iterator[tuple[Float32, dict[str, Array]]]:
        """The boxes of each image and the module's named answers (N, ...) for them; no answers without boxes.

        A pair's result is yielded as soon as its last region has gone through the network.
        """
        return self.runner.answer(self._seen(images), self._job)

    def _place(self, network: RegionClassifier) -> RegionClassifier:
        """A copy of the network for the images, on the device."""
        placed = copy.deepcopy(network).eval().requires_grad_(False).to(self.runner.device, self.precision)
        return placed.to(memory_format=torch.channels_last)

    def _seen(self, images: Regions) -> Iterator[tuple["SeenImage | None", Float32]]:
        """The images' maps; on a GPU those of a few images are made together."""
        rest = iter(images)
        is_gpu = self.runner.device.type != "cpu"
        while group := list(islice(rest, TOGETHER if is_gpu else 1)):
            placed = [self._scaled(image, boxes) for image, boxes in group if len(boxes)]
            copies = [copy for each in placed for copy in each.copies]
            maps = iter(run_trunk(self.network.backbone, copies, is_gpu))
            seen = iter(
                [SeenImage(join_maps(list(islice(maps, len(each.copies)))), each.windows) for each in placed]
            )
            for _, boxes in group:
                yield next(seen) if len(boxes) else None, boxes

    def _scaled(self, image: Image | Tensor, boxes: Float32) -> ImageRegions:
        """An image as the network takes it, on the device."""
        prepared = prepare_image(self.runner.transfers.send(torch.as_tensor(image)), self.preprocessing)
        regions = torch.from_numpy(boxes)
        if self.mirrored:
            prepared, regions = prepared.flip(3), mirror_boxes(regions, image.shape[1])
        height, width = prepared.shape[2:]
        sizes, windows = place_regions(regions, height, width, self.region, self.shared)
        return ImageRegions([each.to(self.precision) for each in scale_image(prepared, sizes)], windows)

    def _job(self, seen: "SeenImage | None", boxes: Float32) -> CropJob:
        if seen is None:
            return CropJob(0, _nothing)
        crops = len(self.region.paddings)

        def cut(first: int, count: int) -> Tensor:
            chosen = seen.windows.rows(slice(first * crops, (first + count) * crops))
            pooled = pool_windows(seen.table, chosen, self.region, self.shared)
            return pooled.flip(3) if self.mirrored else pooled

        return CropJob(len(boxes), cut)


class SeenImage(NamedTuple):
    """The maps of an image's scaled copies, and its regions' windows in them."""

    table: MapTable
    windows: Windows


def _only_network(module: nn.Module) -> RegionClassifier:
    found = {id(part): part for part in module.modules() if isinstance(part, RegionClassifier)}
    if len(found) != 1:
        raise ValueError(f"a module of shared maps must have one network, got {len(found)}")
    return next(iter(found.values()))


def _nothing(first: int, count: int) -> Tensor:
    raise IndexError(f"an image without regions has none at {first}")
