"""Pooling regions of feature maps: RoIAlign (He et al., "Mask R-CNN", arXiv 1703.06870, section 3).

A pooled cell is the mean of bilinear samples of a map, so a weighted sum of a few of the map's cells. The cells of
all maps, of whatever images and sizes, are the rows of one table, and the sums are one `embedding_bag` over it: it
reads whole rows of channels, which on a CPU is ten times as fast as torchvision's RoIAlign, and has gradients.

Samples are as many along each side as keep them a cell of the map apart at most, but no more than `MOST_SAMPLES`.
"""

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional

from detector.networks.warp import Fill

MOST_SAMPLES = 2  # of a pooled cell, along each side; as torchvision's detectors have


class MapTable(NamedTuple):
    """M maps: rows (R, C), their cells map after map, line after line; sizes (M, 2) i64, heights and widths."""

    rows: Tensor
    sizes: Tensor


class Windows(NamedTuple):
    """Where the pooled cells of N regions lie, on the CPU.

    maps (N,) i64 are the regions' maps. start and step (N, 2) f32, x first, are the place of the first pooled
    cell, in cells of the map whose own centres are 0, 1, 2, ..., and the way from one pooled cell to the next.
    """

    maps: Tensor
    start: Tensor
    step: Tensor

    def rows(self, index: Tensor | slice) -> "Windows":
        """Those of the regions at `index`."""
        return Windows(self.maps[index], self.start[index], self.step[index])


def join_maps(maps: Sequence[Tensor]) -> MapTable:
    """The table of maps (1, C, h, w); one map in channels_last is not copied."""
    rows = [each.permute(0, 2, 3, 1).flatten(0, 2) for each in maps]
    sizes = torch.tensor([each.shape[2:] for each in maps])
    return MapTable(rows[0] if len(rows) == 1 else torch.cat(rows), sizes)


def align(table: MapTable, windows: Windows, cells: int, fill: Fill) -> Tensor:
    """Maps (N, C, cells, cells) of regions, in channels_last; what lies outside is zero, or the nearest cells."""
    samples = windows.step.amax(1).ceil().clamp(1, MOST_SAMPLES)  # (N,)
    groups = [(int(count), torch.nonzero(samples == count)[:, 0]) for count in samples.unique()]
    parts = [_sums(table, windows.rows(rows), cells, count, fill) for count, rows in groups]
    if len(parts) == 1:
        pooled = parts[0]
    else:
        pooled = torch.cat([table.rows.new_empty(0, cells, cells, table.rows.shape[1]), *parts])
        places = torch.cat([torch.empty(0, dtype=torch.long), *(rows for _, rows in groups)])
        pooled = pooled[places.argsort().to(pooled.device)]
    return pooled.permute(0, 3, 1, 2)


def _sums(table: MapTable, windows: Windows, cells: int, samples: int, fill: Fill) -> Tensor:
    """The pooled cells (N, cells, cells, C) of regions, each the mean of samples x samples."""
    device = table.rows.device
    sizes = table.sizes[windows.maps].to(device)  # (N, 2)
    areas = table.sizes.prod(1)
    first = (areas.cumsum(0) - areas)[windows.maps].to(device)  # (N,) rows
    start, step = windows.start.to(device), windows.step.to(device)
    x, x_weight = _taps(start[:, 0], step[:, 0], sizes[:, 1], cells, samples, fill)  # (N, cells, T) each
    y, y_weight = _taps(start[:, 1], step[:, 1], sizes[:, 0], cells, samples, fill)
    lines = first[:, None, None] + y * sizes[:, 1, None, None]
    index = lines[:, :, None, :, None] + x[:, None, :, None, :]  # (N, cells, cells, T, T)
    weight = (y_weight[:, :, None, :, None] * x_weight[:, None, :, None, :]).to(table.rows.dtype)
    summed = functional.embedding_bag(
        index.flatten(0, 2).flatten(1), table.rows, mode="sum", per_sample_weights=weight.flatten(0, 2).flatten(1)
    )
    return summed.view(len(index), cells, cells, -1)


def _taps(
    start: Tensor, step: Tensor, extent: Tensor, cells: int, samples: int, fill: Fill
) -> tuple[Tensor, Tensor]:
    """The map's cells along an axis that each pooled cell reads, and their weights: (N, cells, 2 samples) each."""
    within = (torch.arange(samples, device=start.device) + 0.5) / samples - 0.5
    place = torch.arange(cells, device=start.device)[:, None] + within  # (cells, samples)
    place = start[:, None, None] + step[:, None, None] * place  # (N, cells, samples)
    last = (extent - 1)[:, None, None]
    held = place.clamp(min=0).minimum(last)
    low = held.long()
    share = held - low
    weight = torch.stack([1 - share, share], 3) / samples
    if fill == "mean":
        inside = (place >= -1) & (place <= last + 1)  # as torchvision has it
        weight = weight * inside[..., None]
    cell = torch.stack([low, (low + 1).minimum(last)], 3)
    return cell.flatten(2), weight.flatten(2)
