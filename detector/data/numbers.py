"""What the values of a user's JSON and XML may be, as numbers of a data set.

JSON's true and false are no numbers here. NaN, infinity, and what would become infinite in float32 or in an area
are no coordinates of an image.
"""

import numpy as np

LARGEST = 1e9  # pixels, of a side or a coordinate: no image is larger
HIGHEST_SCORE = float(np.finfo(np.float32).max)
COORDINATE = "a finite number of at most 1e9"
BOX = "four finite numbers x, y, width, height of at most 1e9"
SCORE = "a finite number"
PIXELS = "a whole number of pixels up to 1e9"


def is_number(value: object, largest: float) -> bool:
    """Whether it is a number, from minus `largest` to `largest`."""
    return type(value) in (int, float) and abs(value) <= largest  # type: ignore[arg-type]


def is_box(value: object) -> bool:
    """Whether it is a list of four coordinates."""
    return isinstance(value, list) and len(value) == 4 and all(is_number(side, LARGEST) for side in value)


def is_score(value: object) -> bool:
    """Whether it is a number that float32 can hold."""
    return is_number(value, HIGHEST_SCORE)


def whole_pixels(value: object) -> int | None:
    """The whole number that a JSON states, be it as 120 or 120.0; None for any other value, and below 0."""
    if not is_number(value, LARGEST) or value < 0 or value != int(value):  # type: ignore[operator,call-overload]
        return None
    return int(value)  # type: ignore[call-overload]
