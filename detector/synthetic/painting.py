"""Paints the scenes of the synthetic world: colours, light, shadows, focus and noise.

Colours come from one distribution for things of every class and for clutter, so they tell nothing about a class.
All arithmetic on whole images is in uint8, which is what makes it fast.
"""

import colorsys
from dataclasses import dataclass
from functools import lru_cache

import cv2
import numpy as np

from detector.records import Array, Image
from detector.synthetic.scenes import Corner, Layer, Scene
from detector.synthetic.textures import TILE, cloud_tiles, texture_tiles

NEUTRAL = 128  # shade that leaves a colour as it is
NOISE_SIDE = 1024
COARSE = 4  # light and shadow are computed on every fourth pixel
MIN_CONTRAST = 70.0  # between a thing's mean colour and what lies behind it, of 255 * sqrt(3)
COLOUR_TRIES = 6
SURFACE_CONTRAST = (0.2, 0.5)  # between the two colours of a texture, of 255
BACKDROP_CONTRAST = (0.1, 0.4)
CLOUD_KINDS = 8
HIGHLIGHT_SHARE = 0.3
BLUR_SHARE = 0.3
DEFOCUS = 0.03  # blur of the edge of a thing out of focus, of its longer side

_INVERSE = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP


@dataclass(frozen=True)
class _Light:
    """One light for a scene: where it comes from (unit x, y), how hard it models and how dark shadows are."""

    x: float
    y: float
    relief: float
    shadow: float


def paint(scene: Scene, rng: np.random.Generator) -> Image:
    """The picture of `scene`, (H, W, 3) RGB."""
    height, width = scene.owner.shape
    angle = rng.uniform(0, 2 * np.pi)
    light = _Light(np.cos(angle), np.sin(angle), rng.uniform(0.2, 0.9), rng.uniform(0.1, 0.6))
    canvas = _backdrop(height, width, rng)
    for layer in scene.layers:
        _paint_layer(canvas, layer, light, rng)
    return np.asarray(_photograph(canvas, rng), np.uint8)


def _backdrop(height: int, width: int, rng: np.random.Generator) -> Array:
    """Two layers of clouds, each between two random colours."""
    veils = []
    for _ in range(2):
        clouds = cloud_tiles(int(rng.integers(CLOUD_KINDS)))[0]
        veils.append(cv2.applyColorMap(_random_view(clouds, height, width, rng), _palette(rng, BACKDROP_CONTRAST)))
    share = rng.uniform(0.5, 1.0)
    return cv2.addWeighted(veils[0], share, veils[1], 1 - share, 0)


def _random_view(tile: Array, height: int, width: int, rng: np.random.Generator) -> Array:
    """A periodic tile laid over (height, width) pixels with random turn, stretch and shift."""
    span = np.exp(rng.uniform(np.log(0.3), np.log(1.3))) * TILE / max(height, width)
    angle = rng.uniform(0, 2 * np.pi)
    turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    stretch = span * np.exp(rng.normal(0, 0.3, (1, 2)))
    frame = np.concatenate([turn * stretch, rng.uniform(0, TILE, (2, 1))], axis=1)
    return cv2.warpAffine(tile, frame, (width, height), flags=_INVERSE, borderMode=cv2.BORDER_WRAP)


def _palette(rng: np.random.Generator, contrast: tuple[float, float]) -> Array:
    """A colour table (256, 1, 3): from one random colour to another that is lighter or darker by `contrast`."""
    first = rng.uniform(10, 245, 3)
    first += (first.mean() - first) * rng.uniform(0, 0.8)  # half grey, as most of the world is
    change = rng.uniform(*contrast) * 255
    if first.mean() > rng.uniform(80, 175):
        change = -change
    second = first + change + rng.normal(0, 35, 3)
    sharpness, middle = np.exp(rng.uniform(0.7, 3.2)), rng.uniform(0.35, 0.65)
    share = np.tanh(sharpness * (np.linspace(0, 1, 256) - middle))
    share = (share - share[0]) / (share[-1] - share[0])
    if rng.random() < 0.5:
        share = 1 - share
    return np.clip(first + share[:, None, None] * (second - first), 0, 255).astype(np.uint8)


def _paint_layer(canvas: Array, layer: Layer, light: _Light, rng: np.random.Generator) -> None:
    """Paint one thing over `canvas`, with its shadow on what lies behind."""
    size = max(layer.mask.shape)
    soft = rng.uniform(0.4, 1.2) if layer.label or rng.random() < 0.6 else rng.uniform(1, 0.02 * size + 2)
    if not layer.surface.in_focus:
        soft = DEFOCUS * size + 1
    _cast_shadow(canvas, layer, light, rng.uniform(0.02, 0.07) * size)
    alpha, (top, left) = _soft_coverage(layer, canvas.shape, soft)
    height, width = alpha.shape
    region = canvas[top : top + height, left : left + width]
    if layer.surface.hue is None:
        colours = _colours_against(region, alpha, COLOUR_TRIES if layer.label else 1, rng)
    else:
        colours = _tinted_palette(layer.surface.hue, rng)
    surface = _coat(layer, (top, left), height, width, colours)
    _darken(surface, _shade(alpha, light, rng))
    _blend(region, surface, alpha)


def _soft_coverage(layer: Layer, image: tuple[int, ...], soft: float) -> tuple[Array, Corner]:
    """The mask of `layer` blurred by `soft` pixels, and the corner (y, x) of the wider region that it covers."""
    (top, left), (height, width) = layer.corner, layer.mask.shape
    margin = int(np.ceil(3 * soft))
    above, before = min(margin, top), min(margin, left)
    below, after = min(margin, image[0] - top - height), min(margin, image[1] - left - width)
    wide = cv2.copyMakeBorder(layer.mask, above, below, before, after, cv2.BORDER_CONSTANT, value=0)
    return cv2.GaussianBlur(wide, (0, 0), soft, borderType=cv2.BORDER_REPLICATE), (top - above, left - before)


def _cast_shadow(canvas: Array, layer: Layer, light: _Light, distance: float) -> None:
    """Darken `canvas` where the soft shadow of `layer` falls, `distance` pixels away from the light."""
    spread = 0.5 * distance / COARSE + 0.4
    margin = int(np.ceil(3 * spread))
    blurred = cv2.GaussianBlur(_coarse(layer.mask, margin), (0, 0), spread)
    shadow = NEUTRAL - cv2.convertScaleAbs(blurred, alpha=light.shadow * NEUTRAL / 255)
    top = layer.corner[0] - margin * COARSE - round(light.y * distance)
    left = layer.corner[1] - margin * COARSE - round(light.x * distance)
    full = cv2.resize(shadow, None, fx=COARSE, fy=COARSE, interpolation=cv2.INTER_LINEAR)
    region = canvas[max(top, 0) : max(top + full.shape[0], 0), max(left, 0) : max(left + full.shape[1], 0)]
    if region.size:
        y, x = max(-top, 0), max(-left, 0)
        _darken(region, full[y : y + region.shape[0], x : x + region.shape[1]])


def _coarse(mask: Array, margin: int) -> Array:
    """`mask` at every COARSE-th pixel, with a margin of coarse pixels that it does not cover."""
    size = [max(-(-side // COARSE), 1) for side in mask.shape]
    small = cv2.resize(mask, (size[1], size[0]), interpolation=cv2.INTER_AREA)
    return cv2.copyMakeBorder(small, margin, margin, margin, margin, cv2.BORDER_CONSTANT, value=0)


def _colours_against(region: Array, alpha: Array, tries: int, rng: np.random.Generator) -> Array:
    """A palette whose mean differs from what `alpha` covers, or the best of `tries`."""
    behind = np.array(cv2.mean(region, mask=alpha)[:3])
    best, best_contrast = _palette(rng, SURFACE_CONTRAST), 0.0
    for _ in range(tries - 1):
        best_contrast = float(np.linalg.norm(best.mean(axis=(0, 1)) - behind))
        if best_contrast >= MIN_CONTRAST:
            break
        other = _palette(rng, SURFACE_CONTRAST)
        if np.linalg.norm(other.mean(axis=(0, 1)) - behind) > best_contrast:
            best = other
    return best


def _tinted_palette(hue: float, rng: np.random.Generator) -> Array:
    """A colour table (256, 1, 3) from a muted colour of about this hue, in turns, to a lighter one."""
    hue += rng.normal(0, 0.02)
    saturation, light = rng.uniform(0.3, 0.6), rng.uniform(0.6, 0.9)
    bright = 255 * np.array(colorsys.hsv_to_rgb(hue % 1, saturation, light))
    dark = bright * rng.uniform(0.5, 0.75)
    return (dark + np.linspace(0, 1, 256)[:, None, None] * (bright - dark)).astype(np.uint8)


def _coat(layer: Layer, corner: Corner, height: int, width: int, colours: Array) -> Array:
    """The texture of `layer` in `colours` as `_lay_texture` lays it; out of focus it is their mean."""
    if layer.surface.in_focus:
        return cv2.applyColorMap(_lay_texture(layer, corner, height, width), colours)
    return np.full((height, width, 3), colours.mean(axis=(0, 1)), np.uint8)


def _lay_texture(layer: Layer, corner: Corner, height: int, width: int) -> Array:
    """The texture of `layer` as seen in the region (height, width) at `corner`; a tile spans the outline."""
    surface = layer.surface
    tiles = texture_tiles(surface.family, surface.variant)
    cos, sin = np.cos(surface.turn) / 2, np.sin(surface.turn) / 2
    to_tile = np.array([[cos, -sin, surface.shift[0]], [sin, cos, surface.shift[1]], [0, 0, 1]])
    from_region = np.array([[1, 0, corner[1]], [0, 1, corner[0]], [0, 0, 1]])
    view: Array = to_tile @ layer.to_unit @ from_region
    pixels = TILE * np.sqrt(abs(np.linalg.det(view[:2, :2] / view[2, 2])))  # of the tile, for one of the image
    level = int(np.clip(np.log2(pixels) + 0.4, 0, len(tiles) - 1))
    side = tiles[level].shape[0]
    matrix = np.diag([side, side, 1]) @ view
    return cv2.warpPerspective(tiles[level], matrix, (width, height), flags=_INVERSE, borderMode=cv2.BORDER_WRAP)


def _shade(alpha: Array, light: _Light, rng: np.random.Generator) -> Array:
    """Light on a thing as if it swelled towards its middle, with a falling-off and sometimes a highlight."""
    height, width = alpha.shape
    form: Array = _coarse(alpha, 0).astype(np.float32) / 255
    rows, columns = form.shape
    reach = max(0.05 * max(rows, columns), 1.0)
    form = cv2.GaussianBlur(form, (0, 0), 1.5 * reach, borderType=cv2.BORDER_REPLICATE)
    relief = _shifted(form, light, -reach) - _shifted(form, light, reach)
    x = np.linspace(-1, 1, columns, dtype=np.float32)[None, :]
    y = np.linspace(-1, 1, rows, dtype=np.float32)[:, None]
    shade = 1 + light.relief * relief + rng.uniform(0, 0.3) * (light.x * x + light.y * y)
    if rng.random() < HIGHLIGHT_SHARE:
        cx, cy = np.array([light.x, light.y]) * rng.uniform(0, 0.6) + rng.normal(0, 0.15, 2)
        sharpness = rng.uniform(5, 40)
        shade += rng.uniform(0.2, 0.7) * np.exp(-sharpness * ((x - cx) ** 2 + (y - cy) ** 2))
    coarse = np.clip(shade * NEUTRAL, 0, 255).astype(np.uint8)
    return cv2.resize(coarse, (width, height), interpolation=cv2.INTER_LINEAR)


def _shifted(form: Array, light: _Light, distance: float) -> Array:
    move = np.array([[1, 0, light.x * distance], [0, 1, light.y * distance]])
    size = (form.shape[1], form.shape[0])
    return cv2.warpAffine(form, move, size, borderMode=cv2.BORDER_REPLICATE)


def _darken(region: Array, shade: Array) -> None:
    """Multiply `region` (h, w, 3) in place by `shade` (h, w), where NEUTRAL is 1."""
    cv2.multiply(region, cv2.cvtColor(shade, cv2.COLOR_GRAY2BGR), dst=region, scale=1 / NEUTRAL)


def _blend(region: Array, surface: Array, alpha: Array) -> None:
    """Lay `surface` over `region` in place, where `alpha` (h, w) says how much of it covers."""
    cover = cv2.cvtColor(alpha, cv2.COLOR_GRAY2BGR)
    front = cv2.multiply(surface, cover, scale=1 / 255)
    cv2.multiply(region, cv2.bitwise_not(cover), dst=region, scale=1 / 255)
    cv2.add(region, front, dst=region)


def _photograph(canvas: Array, rng: np.random.Generator) -> Array:
    """The camera's part: uneven light, focus, tone and colour cast, and noise."""
    height, width = canvas.shape[:2]
    corners = np.clip(rng.normal(NEUTRAL, 14, (2, 2)), 0, 255).astype(np.uint8)
    _darken(canvas, cv2.resize(corners, (width, height), interpolation=cv2.INTER_LINEAR))
    if rng.random() < BLUR_SHARE:
        canvas = cv2.GaussianBlur(canvas, (0, 0), rng.uniform(0.5, 1.4))
    canvas = cv2.LUT(canvas, _tones(rng))
    strength = rng.uniform(0, 0.35) ** 2
    grain = _noise_patch(height, width, rng)
    return cv2.addWeighted(canvas, 1.0, grain, strength, -strength * NEUTRAL)


def _tones(rng: np.random.Generator) -> Array:
    """A table (1, 256, 3) of gamma, contrast and a colour cast."""
    gamma = np.exp(rng.normal(0, 0.2))
    gain = rng.uniform(0.75, 1.05) * (1 + rng.normal(0, 0.04, 3))
    lift = rng.uniform(0, 20)
    ramp = np.linspace(0, 1, 256)[:, None] ** gamma * 255
    return np.clip(lift + ramp * gain, 0, 255).astype(np.uint8)[None]


def _noise_patch(height: int, width: int, rng: np.random.Generator) -> Array:
    """Sensor noise around NEUTRAL, (height, width, 3), cut from one large tile at a random place."""
    tile = _noise_tile()
    if max(height, width) > NOISE_SIDE:
        tile = cv2.repeat(tile, -(-height // NOISE_SIDE), -(-width // NOISE_SIDE))
    y, x = (int(rng.integers(have - want + 1)) for have, want in zip(tile.shape, (height, width), strict=False))
    return tile[y : y + height, x : x + width]


@lru_cache(maxsize=1)
def _noise_tile() -> Array:
    values = np.random.default_rng(NOISE_SIDE).normal(NEUTRAL, 40, (NOISE_SIDE, NOISE_SIDE, 3))
    return np.clip(values, 0, 255).astype(np.uint8)
