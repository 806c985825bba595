"""Images whose orientation tag turns them, and what tells whether their annotations speak of the turned image.

Tools that draw boxes show an image as its tag wants it; ILSVRC, VOC and COCO state boxes in the image as it is
stored. Which it is shows where an annotation states the image's size, and turning exchanges its sides.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from detector.data.decoders.orientation import FIRST_TRANSPOSED
from detector.data.formats.data_format import RawSplit
from detector.data.images import Exif, ImageHeaders
from detector.records import Bool, Int64

EXCHANGED = "annotations state height and width exchanged, and no orientation tag tells why; boxes are kept"
SHOWN = (
    "images are stored turned, and their annotations state the size that they are shown in; boxes are kept "
    "(data.exif=apply turns the images by their orientation tag)"
)
STORED = (
    "annotations state the size of the image before its orientation tag turns it; boxes are kept "
    "(data.exif=ignore leaves the images as they are stored)"
)
SILENT = (
    "images have an orientation tag that turns them, and no size tells whether their boxes were drawn on them so; "
    "they count as drawn on what is stored (data.exif=apply turns the images)"
)


@dataclass(frozen=True, eq=False)
class TurnedImages:
    """Masks (n,) of the images that a tag turns, by the size that their annotation states.

    It is the one that they are shown in, or the one that they are `stored` in; of others, such as square ones and
    those turned by half, sizes say nothing.
    """

    shown: Bool
    stored: Bool
    silent: Bool


def turned_images(stated: Int64, headers: ImageHeaders) -> TurnedImages:
    """The images of `headers` that a tag turns; stated (n, 2) are heights and widths, 0 where none is stated."""
    sizes = headers.stored
    tells = (headers.orientations >= FIRST_TRANSPOSED) & (sizes[:, 0] != sizes[:, 1])
    shown = tells & (stated == sizes[:, ::-1]).all(axis=1)
    stored = tells & (stated == sizes).all(axis=1)
    return TurnedImages(shown, stored, (headers.orientations > 1) & ~shown & ~stored)


def turn_faults(
    stated: Int64, image: Int64, exchanged: Bool, headers: ImageHeaders, exif: Exif
) -> Iterator[tuple[str, Bool]]:
    """What is to be said of images (n,) and their orientation tags, and masks (n,) of which.

    image (G,) are those with objects, `exchanged` (n,) those whose stated size is the file's with its sides
    exchanged, as `exif` has it turned.
    """
    turned = turned_images(stated, headers)
    tagged = turned.stored if exif == "apply" else turned.shown
    yield EXCHANGED, exchanged & ~tagged
    yield STORED if exif == "apply" else SHOWN, exchanged & tagged
    if exif == "ignore":
        yield SILENT, turned.silent & np.isin(np.arange(len(stated)), image)


def sizes_tell(splits: Sequence[RawSplit], headers: Sequence[ImageHeaders]) -> tuple[int, int]:
    """Of how many images the stated size is that which they are shown in, and that which they are stored in."""
    found = [turned_images(raw.stated, each) for raw, each in zip(splits, headers, strict=True)]
    return sum(int(each.shown.sum()) for each in found), sum(int(each.stored.sum()) for each in found)
