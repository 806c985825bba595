"""Outlines of the synthetic world: the silhouettes of its classes, and clutter that looks like none of them.

An outline is a tuple of closed contours (P, 2) of float64 (x, y) points, y down, in about [-1, 1]; contours inside
another are holes (even-odd rule). A family makes many variants, told apart by small integers.
"""

from collections.abc import Callable
from functools import cache

import numpy as np

from detector.records import Float64

Outline = tuple[Float64, ...]

POINT_SPACING = 0.08


def _dense(points: list[tuple[float, float]] | Float64, rounds: int = 0) -> Float64:
    """Points at most POINT_SPACING apart along the closed polygon, its corners cut `rounds` times (Chaikin)."""
    corners = np.asarray(points, np.float64)
    for _ in range(rounds):
        following = np.roll(corners, -1, axis=0)
        cut = [0.75 * corners + 0.25 * following, 0.25 * corners + 0.75 * following]
        corners = np.stack(cut, axis=1).reshape(-1, 2)
    edges = []
    for start, end in zip(corners, np.roll(corners, -1, axis=0), strict=True):
        steps = max(int(np.ceil(np.linalg.norm(end - start) / POINT_SPACING)), 1)
        edges.append(start + np.linspace(0, 1, steps, endpoint=False)[:, None] * (end - start))
    return np.concatenate(edges)


def _polar(radius: Callable[[Float64], Float64]) -> Float64:
    """The contour r = radius(angle), its first point at the top."""
    angle = np.linspace(0, 2 * np.pi, 160, endpoint=False)
    return np.stack([np.sin(angle), -np.cos(angle)], axis=1) * radius(angle)[:, None]


def _profile(steps: list[tuple[float, float]], rounds: int = 0) -> Float64:
    """The contour symmetric about the vertical axis through (y, half width) `steps` from top to bottom."""
    right = [(half, y) for y, half in steps]
    left = [(-half, y) for y, half in reversed(steps) if half > 0]
    return _dense(right + left, rounds)


def _star(v: int) -> Outline:
    points, inner = 5 + v % 4, 0.42 + 0.04 * (v % 3)
    angle = np.arange(2 * points) * np.pi / points
    radius = np.where(np.arange(2 * points) % 2, inner, 1.0)
    return (_dense(np.stack([np.sin(angle), -np.cos(angle)], axis=1) * radius[:, None]),)


def _ring(v: int) -> Outline:
    hole = 0.45 + 0.06 * (v % 4)
    return _polar(np.ones_like), _polar(lambda a: np.full_like(a, hole))


def _crescent(v: int) -> Outline:
    shift = 0.45 + 0.08 * (v % 3)
    half = np.arccos(shift / 2)  # where the unit circles about 0 and about (shift, 0) cross
    outer = np.linspace(half, 2 * np.pi - half, 70)
    inner = np.linspace(np.pi + half, np.pi - half, 50)
    points = np.concatenate(
        [
            np.stack([np.cos(outer), np.sin(outer)], axis=1),
            np.stack([shift + np.cos(inner), np.sin(inner)], axis=1)[1:-1],
        ]
    )
    return (points + np.array([shift / 2, 0]),)


def _cross(v: int) -> Outline:
    w = 0.26 + 0.06 * (v % 3)
    quarter = [(w, -1.0), (w, -w), (1.0, -w)]
    turns = [np.array([[c, s], [-s, c]]) for c, s in ((1, 0), (0, 1), (-1, 0), (0, -1))]
    return (_dense(np.concatenate([np.array(quarter) @ turn for turn in turns])),)


def _arrow(v: int) -> Outline:
    neck, shaft = -0.25 + 0.15 * (v % 3), 0.2 + 0.05 * (v % 2)
    return (_profile([(-1, 0), (neck, 0.75), (neck, shaft), (1, shaft)]),)


def _heart(v: int) -> Outline:
    t = np.linspace(0, 2 * np.pi, 120, endpoint=False)
    y = -(13 * np.cos(t) - 5 * np.cos(2 * t) - 2 * np.cos(3 * t) - np.cos(4 * t)) / 16
    return (np.stack([np.sin(t) ** 3, y * (1 + 0.1 * (v % 3)) - 0.1], axis=1),)


def _fish(v: int) -> Outline:
    belly, tail = 0.36 + 0.06 * (v % 3), 0.5 - 0.07 * (v % 2)
    steps = [(-1, 0.05), (-0.75, 0.26), (-0.3, belly), (0.15, 0.28), (0.45, 0.09), (1, tail), (0.8, 0)]
    return (_profile(steps, rounds=2)[:, ::-1],)


def _gear(v: int) -> Outline:
    teeth, depth = 7 + v % 5, 0.16 + 0.04 * (v % 2)
    wheel = _polar(lambda a: 1 - depth + depth * np.clip(2.5 * np.cos(teeth * a), -1, 1))
    return wheel, _polar(lambda a: np.full_like(a, 0.2 + 0.05 * (v % 2)))


def _hourglass(v: int) -> Outline:
    waist = 0.08 + 0.07 * (v % 3)
    return (_profile([(-1, 0.75), (-0.8, 0.75), (-0.05, waist), (0.05, waist), (0.8, 0.75), (1, 0.75)]),)


def _bolt(v: int) -> Outline:
    w = 0.05 * (v % 3)
    points = [(0.25, -1), (-0.5 - w, 0.1), (-0.08, 0.1), (-0.4, 1), (0.5 + w, -0.2), (0.08, -0.2), (0.55, -1)]
    return (_dense(points),)


def _flower(v: int) -> Outline:
    petals, depth = 5 + v % 3, 0.3 + 0.04 * (v % 2)
    return (_polar(lambda a: 1 - depth + depth * np.sqrt(np.abs(np.cos(petals * a / 2))) * 1.6 - 0.6 * depth),)


def _tree(v: int) -> Outline:
    trunk = 0.13 + 0.04 * (v % 2)
    tiers = [(-1, 0.0), (-0.45, 0.42), (-0.45, 0.18), (0.05, 0.6), (0.05, 0.25)]
    return (_profile([*tiers, (0.6, 0.8 - 0.06 * (v % 3)), (0.6, trunk), (1, trunk)]),)


def _mug(v: int) -> Outline:
    width = 0.35 + 0.08 * (v % 3)
    body = [(-0.8, -0.85), (width, -0.85), (width, -0.5), (0.85, -0.5), (1.0, -0.3), (1.0, 0.3), (0.85, 0.5)]
    hole = [(width + 0.12, -0.24), (0.78, -0.24), (0.78, 0.24), (width + 0.12, 0.24)]
    return _dense([*body, (width, 0.5), (width, 0.85), (-0.8, 0.85)]), _dense(hole)


def _bottle(v: int) -> Outline:
    shoulder, neck = -0.3 + 0.15 * (v % 3), 0.12 + 0.03 * (v % 2)
    return (_profile([(-1, neck), (shoulder - 0.2, neck), (shoulder, 0.4), (0.95, 0.42), (1, 0.36)]),)


def _magnet(v: int) -> Outline:
    w = 0.36 + 0.05 * (v % 3)
    half = np.linspace(np.pi, 0, 40)
    arch = np.stack([np.cos(half), -0.1 - np.sin(half)], axis=1)
    inner = arch[::-1] * [1 - w, 1 - w]
    return (_dense(np.concatenate([[(-1, 0.9)], arch, [(1, 0.9), (1 - w, 0.9)], inner, [(w - 1, 0.9)]])),)


def _mushroom(v: int) -> Outline:
    stem = 0.2 + 0.05 * (v % 3)
    cap = [(-0.8, 0.0), (-0.76, 0.28), (-0.6, 0.6), (-0.3, 0.9), (0.0, 1.0), (0.1, 0.9)]
    return (_profile([*cap, (0.1, stem), (0.75, stem), (0.85, stem + 0.06)]),)


FAMILIES: dict[str, Callable[[int], Outline]] = {
    "star": _star,
    "ring": _ring,
    "bottle": _bottle,
    "cross": _cross,
    "fish": _fish,
    "crescent": _crescent,
    "hourglass": _hourglass,
    "gear": _gear,
    "arrow": _arrow,
    "heart": _heart,
    "magnet": _magnet,
    "bolt": _bolt,
    "mug": _mug,
    "flower": _flower,
    "tree": _tree,
    "mushroom": _mushroom,
}
SHAPES = tuple(FAMILIES)


@cache
def class_outline(family: str, variant: int) -> Outline:
    """The silhouette of one class; the first families differ most."""
    return FAMILIES[family](variant)


def clutter_outline(rng: np.random.Generator) -> Outline:
    """A random silhouette of no class: a blob, a shard or a stick."""
    kind = rng.choice(3, p=(0.5, 0.3, 0.2))
    if kind == 0:
        order = np.arange(2, 7)
        weight = rng.normal(0, 0.35, 5) / order
        phase = rng.uniform(0, 2 * np.pi, 5)
        return (_polar(lambda a: np.maximum(1 + np.cos(a[:, None] * order + phase) @ weight, 0.2)),)
    if kind == 1:
        angle = np.sort(rng.uniform(0, 2 * np.pi, rng.integers(3, 7)))
        radius = rng.uniform(0.5, 1.0, len(angle))
        return (_dense(np.stack([np.cos(angle), np.sin(angle)], axis=1) * radius[:, None]),)
    half = rng.uniform(0.02, 0.09)
    return (_profile([(-1, half), (1, half * rng.uniform(0.4, 1.0))]),)


def bend(outline: Outline, strength: float, rng: np.random.Generator) -> Outline:
    """`outline` deformed like a sheet of rubber: each point moves by at most about `strength`."""
    wave = rng.normal(0, 1.3, (2, 2, 2))  # (component, term, x and y)
    phase = rng.uniform(0, 2 * np.pi, (2, 2))
    return tuple(points + strength / 2 * _field(points, wave, phase) for points in outline)


def _field(points: Float64, wave: Float64, phase: Float64) -> Float64:
    return np.sin(np.einsum("pk,ctk->pct", points, wave) * 2 + phase).sum(axis=2)
