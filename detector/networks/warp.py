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
    x = _sample_positions(boxes[:, 0], boxes[:, 2], crop_size, padding)  # (N, S) each
    y = _sample_positions(boxes[:, 1], boxes[:, 3], crop_size, padding)
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


def _sample_positions(low: Tensor, high: Tensor, crop_size: int, padding: int) -> Tensor:
    """Where the S samples along one axis lie, in pixels of the image; (N, S)."""
    side = (high - low) * (crop_size / (crop_size - 2 * padding))
    start = (low + high - side) / 2
    steps = (torch.arange(crop_size, device=low.device, dtype=low.dtype) + 0.5) / crop_size
    return start[:, None] + side[:, None] * steps
