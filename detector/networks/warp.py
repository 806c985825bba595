"""R-CNN's region warp on the device (arXiv 1311.2524, section 2.1 and appendix A).

A region is scaled without regard to its aspect to the network's square input, with `padding` pixels of context on
each side in the warped frame; what falls outside the image is the mean, so zero after the subtraction, or on
request the image's nearest pixels. Bilinear, without antialiasing, as in the authors' released code.

A region may be seen twice, the second time with more of what is around it.

Differs from it: sample positions are exact, where the original rounds boxes to whole pixels before resizing.
"""

from typing import Literal

import torch
from torch import Tensor
from torch.nn import functional

from detector.bilinear import sample_grids
from detector.config import RegionSettings
from detector.networks.preprocessing import (
    BVLC,
    IMAGENET,
    TORCHVISION,
    Preprocessing,
    normalise,
    prepare_image,
)
from detector.records import COLOURS

__all__ = [
    "BVLC",
    "IMAGENET",
    "TORCHVISION",
    "Fill",
    "Preprocessing",
    "crop_regions",
    "normalise",
    "prepare_image",
    "sample_on_device",
    "sample_positions",
    "warp_packed",
    "warp_regions",
]  # the names of `preprocessing` are found here, too

Fill = Literal["mean", "image"]


def crop_regions(prepared: Tensor, boxes: Tensor, region: RegionSettings) -> Tensor:
    """Crops (N, 3, S, S) of a prepared image (1, 3, H, W) at boxes (N, 4) in continuous pixels, as `region` says.

    With a wide crop they are (N, 6, S, S), the tight one's channels first.
    """
    crops = [warp_regions(prepared, boxes, region.crop_size, padding, region.fill) for padding in region.paddings]
    return crops[0] if len(crops) == 1 else torch.cat(crops, 1)


def warp_regions(prepared: Tensor, boxes: Tensor, crop_size: int, padding: int, fill: Fill = "mean") -> Tensor:
    """Crops (N, 3, S, S) of a prepared image (1, 3, H, W) at boxes (N, 4) in continuous pixels, S = crop_size."""
    x, y = sample_positions(boxes, crop_size, padding).unbind(1)
    if prepared.device.type == "cpu":
        image = prepared[0].permute(1, 2, 0).numpy()
        return torch.from_numpy(sample_grids(image, x.numpy(), y.numpy(), fill == "mean")).permute(0, 3, 1, 2)
    return sample_on_device(prepared, x, y, fill == "mean")


def sample_on_device(prepared: Tensor, x: Tensor, y: Tensor, fill_outside: bool) -> Tensor:
    """As `sample_grids`, (N, 3, S, S), by torch's own operators on any device."""
    height, width = prepared.shape[2:]
    size = (len(x), x.shape[1], x.shape[1])
    grid = torch.stack(
        [(x * (2 / width) - 1)[:, None, :].expand(size), (y * (2 / height) - 1)[:, :, None].expand(size)], 3
    )
    crops = functional.grid_sample(
        prepared.expand(len(x), -1, -1, -1), grid, padding_mode="border", align_corners=False
    )
    if not fill_outside:
        return crops
    inside_x, inside_y = (x >= 0) & (x <= width), (y >= 0) & (y <= height)
    return crops * (inside_x[:, None, :] & inside_y[:, :, None])[:, None]


def sample_positions(boxes: Tensor, crop_size: int, padding: int) -> Tensor:
    """Where the samples of the crops of boxes (N, 4) lie, in continuous pixels of the image: (N, 2, S), x, y."""
    low, high = boxes[:, :2], boxes[:, 2:]
    side = (high - low) * (crop_size / (crop_size - 2 * padding))
    start = (low + high - side) / 2
    steps = (torch.arange(crop_size, device=boxes.device, dtype=boxes.dtype) + 0.5) / crop_size
    return start[:, :, None] + side[:, :, None] * steps


def warp_packed(
    pixels: Tensor, sizes: Tensor, samples: Tensor, preprocessing: Preprocessing, fill: Fill = "mean"
) -> Tensor:
    """Crops (B, 3 K, S, S) of B images at once, by one gather for each of a sample's four pixels, channels last.

    pixels (P, 3) uint8 are those of RGB images one after another, sizes (B, 2) i64 their heights and widths, and
    samples (B, K, 2, S) where the samples of K crops of each lie, as `sample_positions` gives them. As
    `warp_regions` on each image, on any device; there they are mixed before they are normalised, not after.
    """
    crops = samples.shape[1]
    areas = sizes.prod(1)
    first = (areas.cumsum(0) - areas).to(torch.int32)[:, None, None]  # (B, 1, 1), of the rows of `pixels`
    height, width = sizes.to(torch.int32)[:, :, None, None].unbind(1)
    x, y = samples.unbind(2)  # (B, K, S) each
    (left, right, x_share), (upper, lower, y_share) = _neighbours(x, width), _neighbours(y, height)

    def mixed(row: Tensor) -> Tensor:  # of the image's row of each row of a crop: (B K, S, S, 3)
        lines = (first + row * width)[..., None]
        one, other = (
            pixels.index_select(0, (lines + column[:, :, None]).flatten()).float() for column in (left, right)
        )
        shape = (-1, x.shape[2], x.shape[2], COLOURS)
        return one.view(shape).lerp(other.view(shape), x_share.flatten(0, 1)[:, None, :, None])

    sampled = mixed(upper).lerp(mixed(lower), y_share.flatten(0, 1)[:, :, None, None])
    prepared = normalise(sampled, preprocessing)
    if fill == "mean":
        inside_x, inside_y = ((each >= 0) & (each <= side) for each, side in ((x, width), (y, height)))
        inside = inside_y[..., None] & inside_x[:, :, None]
        prepared = prepared * inside.flatten(0, 1)[:, None]
    return prepared if crops == 1 else prepared.unflatten(0, (-1, crops)).flatten(1, 2)


def _neighbours(positions: Tensor, extent: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """The two pixels around each position, i32, and the share of the second; outside the image, the nearest."""
    from_first = (positions - 0.5).clamp(min=0).minimum(extent - 1)
    first = from_first.to(torch.int32).minimum((extent - 2).clamp(min=0))
    return first, (first + 1).minimum(extent - 1), from_first - first
