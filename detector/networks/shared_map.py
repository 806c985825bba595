"""Regions that share the maps of their image: the first part of the network runs once for all of them.

SPPnet (He et al., arXiv 1406.4729) and Fast R-CNN (Girshick, arXiv 1504.08083): the image is scaled, a region's
part of the map is pooled to the cells that its crop would have there, and what follows in the network is the same
as for crops: the same parameters, so weights of either kind start the other.

A pooled cell is taken from where a crop's cell looks: the centres of the receptive fields, `SharedMap.cell`
pixels apart from `first` on, are mapped from the crop to the scaled image and back to its map. So a region that is
the whole image, scaled to the crop's size, has the very map of its crop.

Differs from Fast R-CNN: RoIAlign, and context (`padding`) as crops have it.
"""

from collections.abc import Sequence
from hashlib import sha256
from typing import NamedTuple, Self

import torch
from torch import Tensor, nn
from torch.nn import functional

from detector.config import RegionSettings
from detector.networks.backbones.base import Backbone, SharedMap, batch_norms
from detector.networks.region_classifier import RegionClassifier
from detector.networks.roi_align import MapTable, Windows, align, join_maps
from detector.records import COLOURS


class Placed(NamedTuple):
    """The scaled copies of an image that its regions need, (height, width) each, and the regions' windows in them.

    The windows are N K, those of a region's K crops one after another.
    """

    sizes: list[tuple[int, int]]
    windows: Windows


class ImageRegions(NamedTuple):
    """The prepared copies (1, 3, H, W) of an image, scaled, and its regions' windows in their maps."""

    copies: list[Tensor]
    windows: Windows


def place_regions(boxes: Tensor, height: int, width: int, region: RegionSettings, shared: SharedMap) -> Placed:
    """Where the regions at boxes (N, 4) of an image are pooled from; all on the CPU."""
    sizes = scaled_sizes(height, width, region, shared.smallest)
    factors = torch.tensor(sizes) / torch.tensor([height, width])  # (scales, 2), y first
    context = [region.crop_size / (region.crop_size - 2 * padding) for padding in region.paddings]
    sides = boxes[:, 2:] - boxes[:, :2]
    area = sides.prod(1)[:, None] * factors.prod(1) * context[0] ** 2  # (N, scales)
    maps = (area - region.crop_size**2).abs().argmin(1)
    used, maps = maps.unique(return_inverse=True)
    factor = factors[used][maps].flip(1)  # (N, 2), x first
    centre = (boxes[:, :2] + sides / 2) * factor
    extent = torch.stack([sides * factor * each for each in context], 1)  # (N, K, 2)
    step = extent / region.crop_size  # of the crop's pixels
    start = (centre[:, None] - extent / 2 + shared.first * step - shared.first) / shared.cell
    windows = Windows(maps.repeat_interleave(len(context)), start.flatten(0, 1), step.flatten(0, 1))
    return Placed([sizes[scale] for scale in used.tolist()], windows)


def scaled_sizes(height: int, width: int, region: RegionSettings, smallest: int) -> list[tuple[int, int]]:
    """The sizes (height, width) of an image at each of `region.shared_side`, no side under `smallest` pixels."""
    found = []
    for side in region.shared_side:
        factor = min(side / min(height, width), region.shared_longest / max(height, width))
        found.append((max(round(height * factor), smallest), max(round(width * factor), smallest)))
    return found


def mirror_boxes(boxes: Tensor, width: int) -> Tensor:
    """Boxes (N, 4) as they lie in the mirrored image."""
    return torch.stack([width - boxes[:, 2], boxes[:, 1], width - boxes[:, 0], boxes[:, 3]], 1)


def scale_image(prepared: Tensor, sizes: Sequence[tuple[int, int]]) -> list[Tensor]:
    """The prepared image (1, 3, H, W) at each of the sizes, bilinear; smoothed where it becomes smaller."""
    return [
        functional.interpolate(prepared, size, mode="bilinear", antialias=True).contiguous(
            memory_format=torch.channels_last
        )
        for size in sizes
    ]


def run_trunk(backbone: Backbone, copies: Sequence[Tensor], together: bool) -> list[Tensor]:
    """The shared maps (1, C, h, w) of images (1, 3, H, W).

    With `together` those of one size are a batch: a GPU that is given an image at a time waits for its launches.
    Sizes are not padded to be equal, as borders would change.
    """
    if not together:
        return [backbone.trunk(copy) for copy in copies]
    sizes: dict[tuple[int, ...], list[int]] = {}
    for place, copy in enumerate(copies):
        sizes.setdefault(tuple(copy.shape), []).append(place)
    maps: dict[int, Tensor] = {}
    for places in sizes.values():
        batch = torch.cat([copies[place] for place in places])
        maps |= zip(places, backbone.trunk(batch).split(1), strict=True)
    return [maps[place] for place in range(len(copies))]


def trunk_digest(backbone: Backbone) -> str:
    """Equal for networks that make the same shared maps of all images: of what their trunks compute with."""
    called: list[nn.Module] = []
    hooks = [module.register_forward_hook(lambda each, *_: called.append(each)) for module in backbone.modules()]
    smallest = backbone.facts.shared.smallest
    was_training = backbone.training
    with torch.inference_mode():
        backbone.eval().trunk(next(backbone.parameters()).new_zeros(1, COLOURS, smallest, smallest))
    backbone.train(was_training)
    for hook in hooks:
        hook.remove()
    digest = sha256(backbone.variant.encode())
    for module in called:
        for tensor in (*module.parameters(recurse=False), *module.buffers(recurse=False)):
            digest.update(tensor.detach().cpu().contiguous().numpy().tobytes())
    return digest.hexdigest()


def pool_windows(table: MapTable, windows: Windows, region: RegionSettings, shared: SharedMap) -> Tensor:
    """Maps (N, C K, s, s) for the last part of the network, of the windows (N K) of N regions."""
    crops = len(region.paddings)
    pooled = align(table, windows, shared.map_side(region.crop_size), region.fill)
    return pooled if crops == 1 else pooled.unflatten(0, (-1, crops)).flatten(1, 2)


class SharedClassifier(RegionClassifier):
    """The region classifier as it is trained on images with their regions.

    Of a few images batch norm would learn little: with `keeps_statistics` it keeps those of the weights that it
    started from while it is trained (He et al., arXiv 1512.03385, appendix A).
    """

    def __init__(
        self,
        backbone: Backbone,
        outputs: int,
        dropout: float,
        region: RegionSettings,
        keeps_statistics: bool = False,
    ) -> None:
        super().__init__(backbone, outputs, dropout, len(region.paddings))
        self.region = region
        self.keeps_statistics = keeps_statistics

    def forward(self, images: Sequence[ImageRegions]) -> Tensor:  # type: ignore[override]
        """Logits (B, outputs) of the regions of all images, one image after another."""
        return self.classify(self.pool(self.map_of(images)))

    def map_of(self, images: Sequence[ImageRegions]) -> Tensor:  # type: ignore[override]
        """The last maps (B, C K, h, w) of the regions of all images."""
        copies = [copy for image in images for copy in image.copies]
        learns = any(norm.training for norm in batch_norms(self.backbone))  # from one image at a time
        maps = run_trunk(self.backbone, copies, together=not learns and copies[0].device.type != "cpu")
        table = join_maps(maps)
        pooled = pool_windows(table, join_windows(images), self.region, self.backbone.facts.shared)
        return self.last_map(pooled)

    def train(self, mode: bool = True) -> Self:
        """As of any module, but batch norm may keep its statistics."""
        super().train(mode)
        if self.keeps_statistics:
            for norm in batch_norms(self):
                norm.eval()
        return self


def join_windows(images: Sequence[ImageRegions]) -> Windows:
    """The windows of all images in the table of all their copies' maps."""
    maps, first = [], 0
    for image in images:
        maps.append(image.windows.maps + first)
        first += len(image.copies)
    starts, steps = ([getattr(image.windows, name) for image in images] for name in ("start", "step"))
    return Windows(torch.cat(maps), torch.cat(starts), torch.cat(steps))
