"""What is read can be written to, whichever decoder it comes from."""

from pathlib import Path

import numpy as np
import PIL.Image
import pytest
from image_bytes import encoded, noisy_picture

from detector.data.images import Exif, read_image
from detector.records import Image

PICTURE = noisy_picture(24, 32)
GREY, DEEP = PICTURE[:, :, 0], PICTURE[:, :, 0].astype(np.uint16) << 8
TRANSPARENT = np.dstack([PICTURE, GREY])
CMYK = PIL.Image.fromarray(PICTURE).convert("CMYK")
FILES = {
    "JPEG": encoded(PICTURE, "JPEG"),
    "grey JPEG": encoded(GREY, "JPEG"),
    "CMYK JPEG": encoded(CMYK, "JPEG"),
    "progressive JPEG": encoded(PICTURE, "JPEG", progressive=True),
    "PNG": encoded(PICTURE, "PNG"),
    "PNG of 16 bits": encoded(PIL.Image.fromarray(DEEP), "PNG"),
    "PNG without its end": encoded(PICTURE, "PNG")[:-12],
    "transparent PNG": encoded(TRANSPARENT, "PNG"),
    "palette PNG": encoded(PIL.Image.fromarray(PICTURE).quantize(), "PNG"),
    "WEBP": encoded(PICTURE, "WEBP"),
    "BMP": encoded(PICTURE, "BMP"),
    "GIF": encoded(PICTURE, "GIF"),
    "TIFF": encoded(PICTURE, "TIFF"),
    "TIFF of 16 bits": encoded(PIL.Image.fromarray(DEEP), "TIFF"),
    "compressed TIFF": encoded(PICTURE, "TIFF", compression="tiff_lzw"),
    "palette TIFF": encoded(PIL.Image.fromarray(PICTURE).quantize(), "TIFF"),
}


def is_promised(image: Image) -> bool:
    flags = image.flags
    return image.shape == (24, 32, 3) and image.dtype == np.uint8 and flags.writeable and flags.c_contiguous


@pytest.mark.parametrize("exif", ["ignore", "apply"])
@pytest.mark.parametrize("kind", FILES)
def test_pixels_are_writable_and_contiguous(kind: str, exif: Exif, tmp_path: Path) -> None:
    path = tmp_path / "image"
    path.write_bytes(FILES[kind])
    assert is_promised(read_image(path, exif))
