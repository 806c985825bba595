"""Surface textures of the synthetic world: periodic tiles whose grey values are equally frequent.

Every tile has a flat histogram, so a surface coloured through a table of random colours shows the same mix of
colours whatever its texture: classes differ by pattern, never by colour.
"""

from collections.abc import Callable
from functools import cache

import cv2
import numpy as np

from detector.records import Array, Float64, Image

TILE = 256
LEVELS = 5  # 256, 128, ..., 16 pixels

Field = Callable[[Float64, Float64, int], Float64]


def _sine(turns: Float64) -> Float64:
    return np.sin(2 * np.pi * turns)


def _triangle(turns: Float64) -> Float64:
    """A wave of straight flanks in [-1, 1], one period a turn."""
    return 4 * np.abs(turns - np.floor(turns + 0.5)) - 1


def _to_centre(turns: Float64) -> Float64:
    """Signed distance in [-0.5, 0.5) to the centre of the cell of a turn."""
    return turns - np.floor(turns) - 0.5


def _noise(variant: int, low: float, high: float) -> Float64:
    """Periodic random field (TILE, TILE) of unit variance with `low` to `high` waves a tile, soft at both ends."""
    rng = np.random.default_rng([TILE, variant])
    rate = np.fft.fftfreq(TILE, 1 / TILE)
    radius = np.hypot(rate[:, None], rate[None, :])
    band = np.exp(-(np.maximum(low - radius, 0) ** 2)) * np.exp(-(np.maximum(radius - high, 0) ** 2) / 2)
    band[0, 0] = 0
    spectrum = np.fft.fft2(rng.normal(size=(TILE, TILE))) * band / np.maximum(radius, 1)
    field = np.fft.ifft2(spectrum).real
    return field / field.std()


def _stripes(x: Float64, y: Float64, v: int) -> Float64:
    return _sine((4 + v % 3) * x)


def _checks(x: Float64, y: Float64, v: int) -> Float64:
    f = 3 + v % 2
    return _sine(f * x) * _sine(f * y)


def _dots(x: Float64, y: Float64, v: int) -> Float64:
    columns, rows = 3 + v % 2, 4 + 2 * (v % 2)
    nearest = np.full_like(x, np.inf)
    for shift in (0.0, 0.5):  # every other row is shifted by half a cell
        dx = _to_centre(columns * x + shift) / columns
        dy = _to_centre(rows / 2 * y + shift) * 2 / rows
        nearest = np.minimum(nearest, np.hypot(dx, dy))
    return nearest


def _rings(x: Float64, y: Float64, v: int) -> Float64:
    radius = np.hypot(_to_centre(x), _to_centre(y))
    return _sine((4 + v % 3) * radius)


def _bricks(x: Float64, y: Float64, v: int) -> Float64:
    rows, columns = 6, 2 + v % 2
    row = np.floor(rows * y)
    along = columns * x + 0.5 * (row % 2)
    edge = np.minimum(0.5 - np.abs(_to_centre(rows * y)), (0.5 - np.abs(_to_centre(along))) * rows / columns)
    brick = np.sin(12.9 * (np.floor(along) % columns) + 78.2 * row + v)
    return np.minimum(edge, 0.22) + 0.05 * brick


def _waves(x: Float64, y: Float64, v: int) -> Float64:
    return _sine((4 + v % 2) * y + 0.35 * _sine((2 + v % 3) * x))


def _mottle(x: Float64, y: Float64, v: int) -> Float64:
    return _noise(v, 8 + v % 3, 8 + v % 3)


def _scales(x: Float64, y: Float64, v: int) -> Float64:
    rows, columns = 6, 4 + v % 2
    value = np.zeros_like(x)
    for depth in range(3, -1, -1):  # nearer rows cover the farther ones
        row = np.floor(rows * y) + depth
        dx = _to_centre(columns * x + 0.5 * (row % 2)) / columns
        dy = (row - rows * y) / rows - 0.16
        radius = np.hypot(dx, dy) * columns / 0.72
        value = np.where(radius < 1, radius + 0.1 * depth, value)
    return value


def _zigzag(x: Float64, y: Float64, v: int) -> Float64:
    return _sine((4 + v % 2) * y + 0.5 * _triangle((3 + v % 2) * x))


def _weave(x: Float64, y: Float64, v: int) -> Float64:
    cells, strands = 4, 2 + v % 2
    upright = (np.floor(cells * x) + np.floor(cells * y)) % 2 == 0
    return np.where(upright, _sine(cells * strands * x), _sine(cells * strands * y))


def _plaid(x: Float64, y: Float64, v: int) -> Float64:
    f = 2 + v % 2

    def bands(t: Float64) -> Float64:
        return 0.6 * np.sign(_sine(f * t)) + 0.3 * _sine(f * t) + 0.4 * _sine(3 * f * t)

    return bands(x) + bands(y)


def _cells(x: Float64, y: Float64, v: int) -> Float64:
    seeds = np.random.default_rng([3, v]).uniform(size=(16 + 8 * (v % 2), 2))
    dx = np.abs(x[None] - seeds[:, 0, None, None])
    dy = np.abs(y[None] - seeds[:, 1, None, None])
    distance = np.hypot(np.minimum(dx, 1 - dx), np.minimum(dy, 1 - dy))
    nearest = np.partition(distance, 1, axis=0)
    return nearest[1] - nearest[0]


def _rays(x: Float64, y: Float64, v: int) -> Float64:
    angle = np.arctan2(_to_centre(y), _to_centre(x))
    return np.cos((6 + 2 * (v % 3)) * angle) * np.hypot(_to_centre(x), _to_centre(y))


def _facets(x: Float64, y: Float64, v: int) -> Float64:
    f = 2 + v % 2
    return _sine(f * x + f * y) * _sine(f * x - f * y) * _sine(2 * f * y)


def _marble(x: Float64, y: Float64, v: int) -> Float64:
    return _sine((2 + v % 2) * (x + y) + 0.3 * _noise(100 + v, 1, 2))


FIELDS: dict[str, Field] = {
    "striped": _stripes,
    "dotted": _dots,
    "mottled": _mottle,
    "checked": _checks,
    "zigzag": _zigzag,
    "bricked": _bricks,
    "rayed": _rays,
    "cellular": _cells,
    "ringed": _rings,
    "scaly": _scales,
    "marbled": _marble,
    "woven": _weave,
    "wavy": _waves,
    "plaid": _plaid,
    "faceted": _facets,
}
TEXTURES = tuple(FIELDS)


@cache
def texture_tiles(family: str, variant: int) -> tuple[Image, ...]:
    """The tile of a texture, (256, 256) uint8, and its halvings down to 16 pixels; all wrap around."""
    return _pyramid(_flatten(FIELDS[family](*_grid(), variant)))


@cache
def cloud_tiles(variant: int) -> tuple[Image, ...]:
    """Smooth clouds for backgrounds, as `texture_tiles`."""
    return _pyramid(_flatten(_noise(1000 + variant, 1, 2 + 5 * (variant % 4))))


def _grid() -> tuple[Float64, Float64]:
    turn = (np.arange(TILE) + 0.5) / TILE
    x, y = np.meshgrid(turn, turn)
    return x, y


def _flatten(field: Float64) -> Image:
    """`field` as uint8 with every grey equally frequent; ties are ordered by a fixed random rank."""
    ties = np.random.default_rng(0).uniform(0, 1e-6, field.shape)
    order = np.argsort((field + ties).ravel())
    grey = np.empty(field.size, np.uint8)
    grey[order] = np.arange(field.size) * 256 // field.size
    return grey.reshape(field.shape)


def _pyramid(tile: Image) -> tuple[Image, ...]:
    wide = cv2.copyMakeBorder(tile, 8, 8, 8, 8, cv2.BORDER_WRAP)
    level: Array = cv2.GaussianBlur(wide, (0, 0), 1)[8:-8, 8:-8]
    tiles = [np.ascontiguousarray(level)]
    while len(tiles) < LEVELS:
        level = cv2.resize(tiles[-1], None, fx=0.5, fy=0.5, interpolation=cv2.INTER_AREA)
        tiles.append(level)
    return tuple(tiles)
