"""The engine of regions that share the maps of their image: the same answers as of crops, several times as fast.

The network up to the shared map, its trunk, runs once on each image, in torch on any device, as images differ in
size; who looks at an image next with the same trunk finds its map there. What follows runs on full batches of
pooled regions, whatever image they come from, by the backend of the settings.
"""

import copy
from collections.abc import Hashable, Iterator, Sequence
from itertools import islice
from typing import NamedTuple

import torch
from torch import Tensor, nn

from detector.config import EngineSettings, RegionSettings
from detector.inference.batches import BatchRunner, CropJob
from detector.inference.held_image import AnyImage, HeldImage, Regions, hold
from detector.networks.device import choose_batch_size, choose_device, choose_precision
from detector.networks.region_classifier import RegionClassifier
from detector.networks.roi_align import MapTable, Windows, join_maps
from detector.networks.shared_map import (
    mirror_boxes,
    place_regions,
    pool_windows,
    run_trunk,
    scale_image,
    trunk_digest,
)
from detector.networks.warp import Preprocessing, prepare_image
from detector.records import Array, Float32

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
        # a network that was made here, of no file, is nobody else's
        trunk = trunk_digest(network.backbone) if network.file else id(self)
        self.key = (trunk, preprocessing, self.precision, mirrored)  # of equal maps
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
            placed = [self._placed(image, boxes) for image, boxes in group if len(boxes)]
            self._make_maps(placed, is_gpu)
            seen = iter([SeenImage(join_maps(each.maps(self.key)), each.windows) for each in placed])
            for _, boxes in group:
                yield next(seen) if len(boxes) else None, boxes

    def _placed(self, image: AnyImage, boxes: Float32) -> "PlacedImage":
        """Where an image's regions lie in which maps."""
        height, width = image.shape[:2]
        regions = torch.from_numpy(boxes)
        if self.mirrored:
            regions = mirror_boxes(regions, width)
        return PlacedImage(hold(image), *place_regions(regions, height, width, self.region, self.shared))

    def _make_maps(self, placed: "Sequence[PlacedImage]", together: bool) -> None:
        """Make the maps that images lack."""
        lacking = [(each.image, each.lacking(self.key)) for each in placed]
        copies = [copy for image, sizes in lacking for copy in self._copies(image, sizes)]
        maps = iter(run_trunk(self.network.backbone, copies, together))
        for image, sizes in lacking:
            image.maps |= {(self.key, size): next(maps) for size in sizes}

    def _copies(self, image: HeldImage, sizes: Sequence[tuple[int, int]]) -> list[Tensor]:
        """An image as the network takes it, on the device, in each of the sizes."""
        if not sizes:
            return []
        prepared = prepare_image(image.sent(self.runner.transfers), self.preprocessing)
        if self.mirrored:
            prepared = prepared.flip(3)
        return [copy.to(self.precision) for copy in scale_image(prepared, sizes)]

    def _job(self, seen: "SeenImage | None", boxes: Float32) -> CropJob:
        if seen is None:
            return CropJob(0, _nothing)
        crops = len(self.region.paddings)

        def cut(first: int, count: int) -> Tensor:
            chosen = seen.windows.rows(slice(first * crops, (first + count) * crops))
            pooled = pool_windows(seen.table, chosen, self.region, self.shared)
            return pooled.flip(3) if self.mirrored else pooled

        return CropJob(len(boxes), cut)


class PlacedImage(NamedTuple):
    """An image with the sizes of its copies that its regions need, and their windows in the copies' maps."""

    image: HeldImage
    sizes: list[tuple[int, int]]
    windows: Windows

    def lacking(self, key: Hashable) -> list[tuple[int, int]]:
        """The sizes whose maps were not made yet."""
        return [size for size in self.sizes if (key, size) not in self.image.maps]

    def maps(self, key: Hashable) -> list[Tensor]:
        """The maps (1, C, h, w) of all sizes."""
        return [self.image.maps[key, size] for size in self.sizes]


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
