"""Pooling regions of feature maps: RoIAlign (He et al., "Mask R-CNN", arXiv 1703.06870, section 3).

A pooled cell is the mean of bilinear samples of a map, so a weighted sum of a few of the map's cells. The cells of
all maps, of whatever images and sizes, are the rows of one table, and the sums are one `embedding_bag` over it: it
reads whole rows of channels, which on a CPU is ten times as fast as torchvision's RoIAlign, and has gradients.
Which regions have how many samples is known on the CPU, so that no shape depends on numbers of the device.

Samples are as many along each side as keep them a cell of the map apart at most, but no more than `MOST_SAMPLES`.
"""

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional

from detector.networks.transfers import transfers_of
from detector.networks.warp import Fill

MOST_SAMPLES = 2  # of a pooled cell, along each side; as torchvision's detectors have


class MapTable(NamedTuple):
    """M maps: rows (R, C), their cells map after map, line after line; their sizes (M, 2) i64, on the CPU."""

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
    samples = windows.step.amax(1).ceil().clamp(1, MOST_SAMPLES).long()  # (N,)
    order = samples.argsort(stable=True)
    sorts = samples.bincount(minlength=MOST_SAMPLES + 1).tolist()  # how many have 0, 1, ... samples
    areas = table.sizes.prod(1)
    of_maps = torch.column_stack([areas.cumsum(0) - areas, table.sizes])  # first row, height and width
    sorted_windows = windows.rows(order)
    send = transfers_of(table.rows.device).send
    places = send(of_maps[sorted_windows.maps]).split(sorts)
    lines = send(torch.cat([sorted_windows.start, sorted_windows.step], 1)).split(sorts)
    parts = [
        _sums(table.rows, places[count], lines[count], cells, count, fill)
        for count in range(1, MOST_SAMPLES + 1)
        if sorts[count]
    ]
    if not parts:
        pooled = table.rows.new_empty(0, cells, cells, table.rows.shape[1])
    elif len(parts) == 1:
        pooled = parts[0]
    else:
        pooled = torch.cat(parts).index_select(0, send(order.argsort()))
    return pooled.permute(0, 3, 1, 2)


def _sums(rows: Tensor, places: Tensor, lines: Tensor, cells: int, samples: int, fill: Fill) -> Tensor:
    """The pooled cells (N, cells, cells, C) of regions, each the mean of samples x samples.

    places (N, 3) i64 are their maps' first row, height and width; lines (N, 4) f32 start and step, x first.
    """
    first, height, width = places.unbind(1)
    x, x_weight = _taps(lines[:, 0], lines[:, 2], width, cells, samples, fill)  # (N, cells, T) each
    y, y_weight = _taps(lines[:, 1], lines[:, 3], height, cells, samples, fill)
    row = first[:, None, None] + y * width[:, None, None]
    index = row[:, :, None, :, None] + x[:, None, :, None, :]  # (N, cells, cells, T, T)
    weight = (y_weight[:, :, None, :, None] * x_weight[:, None, :, None, :]).to(rows.dtype)
    summed = functional.embedding_bag(
        index.flatten(0, 2).flatten(1), rows, mode="sum", per_sample_weights=weight.flatten(0, 2).flatten(1)
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
