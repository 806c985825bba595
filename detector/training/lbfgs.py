"""Limited-memory BFGS of many independent problems at once (Nocedal and Wright, "Numerical Optimization", 7.2).

The problems are columns: each has its own curvature, direction and step; they share only the passes over the data.
"""

from collections import deque
from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor

Function = Callable[[Tensor], tuple[Tensor, Tensor]]  # points (P, C) to values (C,) and gradients (P, C)

HISTORY = 10  # moves remembered
SHORTEST = 2.0**-30  # step, as a share of a direction
DECREASE = 1e-4  # of the value that a step must bring, as a share of what the slope promises


class Minimum(NamedTuple):
    """Where the search ended: points (P, C), and the greatest |gradient| (C,) left in each column."""

    points: Tensor
    slopes: Tensor


def minimise(function: Function, start: Tensor, tolerance: float, calls: int = 2000) -> Minimum:
    """The minima of the columns of a convex `function`, from the points `start` (P, C).

    A column rests when its greatest |gradient| is at most `tolerance`, or when no step lowers its value, which
    rounding can bring about. Each call of `function` tries a step of every column that does not rest: first its
    whole direction, then half of it, a quarter, ... until one lowers the value enough.
    """
    points = start
    values, gradients = function(points)
    directions, steps = -gradients, torch.ones_like(values)
    memory = _Memory(values)
    for _ in range(calls):
        moving = (gradients.abs().amax(0) > tolerance) & (steps > SHORTEST)
        if not moving.any():
            break
        moves = steps * moving * directions
        new_values, new_gradients = function(points + moves)
        lower = moving & (new_values <= values + DECREASE * (gradients * moves).sum(0))
        memory.add(moves * lower, torch.where(lower, new_gradients - gradients, 0))
        points = points + moves * lower
        values, gradients = torch.where(lower, new_values, values), torch.where(lower, new_gradients, gradients)
        directions = torch.where(lower, memory.directions(gradients), directions)
        steps = torch.where(lower, 1, steps / 2)
    return Minimum(points, gradients.abs().amax(0))


class _Memory:
    """What the last moves told of each column's curvature."""

    def __init__(self, values: Tensor) -> None:
        self.pairs: deque[tuple[Tensor, Tensor, Tensor]] = deque(maxlen=HISTORY)
        self.scale = torch.ones_like(values)  # of a first guess at the inverse curvature

    def add(self, moves: Tensor, changes: Tensor) -> None:
        """Remember moves (P, C) and the changes (P, C) of the gradients; a column at rest learns nothing."""
        products = (moves * changes).sum(0)
        inverse = torch.where(products > 0, 1 / products, 0)
        self.pairs.append((moves, changes, inverse))
        self.scale = torch.where(products > 0, products / (changes * changes).sum(0), self.scale)

    def directions(self, gradients: Tensor) -> Tensor:
        """Minus the gradients (P, C), over the curvature: the two-loop recursion."""
        directions, shares = -gradients, []
        for moves, changes, inverse in reversed(self.pairs):
            shares.append(inverse * (moves * directions).sum(0))
            directions = directions - shares[-1] * changes
        directions = directions * self.scale
        for moves, changes, inverse in self.pairs:
            directions = directions + (shares.pop() - inverse * (changes * directions).sum(0)) * moves
        return directions
