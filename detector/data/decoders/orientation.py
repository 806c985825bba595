"""The orientation tag: how a camera was held."""

import numpy as np

from detector.records import Image

FIRST_TRANSPOSED = 5  # orientations 5..8 exchange height and width
BACK = {6: 8, 8: 6}  # the orientation that undoes another; the rest undo themselves


def turn(image: Image, orientation: int) -> Image:
    """`image` as the orientation tag wants it shown (EXIF 2.3, section 4.6.4)."""
    match orientation:
        case 2:
            turned = image[:, ::-1]
        case 3:
            turned = image[::-1, ::-1]
        case 4:
            turned = image[::-1]
        case 5:
            turned = image.transpose(1, 0, 2)
        case 6:
            turned = image[::-1].transpose(1, 0, 2)
        case 7:
            turned = image[::-1, ::-1].transpose(1, 0, 2)
        case 8:
            turned = image[:, ::-1].transpose(1, 0, 2)
        case _:
            turned = image
    return np.ascontiguousarray(turned)
