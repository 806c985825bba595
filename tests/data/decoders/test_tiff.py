from pathlib import Path

import cv2
import numpy as np
import PIL.Image
import PIL.ImageOps
import pytest
from image_bytes import encoded, noisy_picture
from PIL.TiffImagePlugin import ImageFileDirectory_v2

from detector.data.images import check_image, read_image, read_size
from detector.errors import DataError
from detector.records import Image

PICTURE = noisy_picture(48, 64)


def by_opencv(path: Path, pixels: np.ndarray) -> Path:
    assert cv2.imwrite(str(path), pixels)
    return path


@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "PA", "RGB", "RGBA", "CMYK", "LAB", "YCbCr"])
def test_every_mode_has_the_colours_pillow_sees(tmp_path: Path, mode: str) -> None:
    image = PIL.Image.fromarray(PICTURE).convert(mode)
    path = tmp_path / "a.tif"
    path.write_bytes(encoded(image, "TIFF"))
    np.testing.assert_array_equal(read_image(path), np.asarray(image.convert("RGB")))
    assert read_size(path) == (48, 64)


@pytest.mark.parametrize("compression", ["tiff_lzw", "tiff_adobe_deflate", "packbits", "jpeg", "zstd", "lzma"])
def test_every_compression_is_read(tmp_path: Path, compression: str) -> None:
    content = encoded(PICTURE, "TIFF", compression=compression)
    path = tmp_path / "a.tif"
    path.write_bytes(content)
    assert np.abs(read_image(path).astype(int) - PICTURE).mean() < (8 if compression == "jpeg" else 1e-9)


def test_the_colour_under_transparency_counts(tmp_path: Path) -> None:
    picture = PIL.Image.fromarray(PICTURE)
    picture.putalpha(PIL.Image.linear_gradient("L").resize(picture.size))
    path = tmp_path / "a.tif"
    path.write_bytes(encoded(picture, "TIFF"))
    np.testing.assert_array_equal(read_image(path), PICTURE)


@pytest.mark.parametrize("channels", [1, 3, 4])
def test_sixteen_bits_keep_their_upper_half(tmp_path: Path, channels: int) -> None:
    random = np.random.default_rng(0)
    deep = random.integers(0, 1 << 16, (48, 64, channels), np.uint16)
    path = by_opencv(tmp_path / "a.tif", deep.squeeze())
    expected = np.repeat(deep >> 8, 3, axis=2) if channels == 1 else deep[:, :, 2::-1] >> 8
    assert np.abs(read_image(path).astype(int) - expected).max() <= 1
    check_image(path)


@pytest.mark.parametrize("extra", [0, 1, 2])  # unspecified, multiplied by, or alpha alone
def test_sixteen_bits_under_transparency_are_the_stored_ones(tmp_path: Path, extra: int) -> None:
    deep = np.random.default_rng(0).integers(0, 1 << 16, (48, 64, 4), np.uint16)
    tags = ImageFileDirectory_v2()
    shape = {256: 64, 257: 48, 258: (16,) * 4, 259: 1, 262: 2, 277: 4, 278: 48, 279: deep.nbytes, 338: extra}
    for tag, value in {**shape, 273: 0}.items():
        tags[tag] = value
    path = tmp_path / "a.tif"
    path.write_bytes(b"II*\0\x08\0\0\0" + tags.tobytes(8) + deep.astype("<u2").tobytes())
    assert np.abs(read_image(path).astype(int) - (deep[:, :, :3] >> 8)).max() <= 1


@pytest.mark.parametrize(
    ("pixels", "got"),
    [
        (PICTURE.astype(np.float32) / 255, "32 signed or floating-point"),
        (PICTURE[:, :, 0].astype(np.float32), "32 signed or floating-point"),
        (PICTURE.astype(np.float64), "64 signed or floating-point"),
        (PICTURE[:, :, 0].astype(np.int32), "32 signed or floating-point"),
        (PICTURE[:, :, 0].astype(np.int16), "16 signed or floating-point"),
        (PICTURE.astype(np.uint32), "32 unsigned"),
    ],
)
def test_samples_whose_black_and_white_nobody_states_are_refused(
    tmp_path: Path, pixels: np.ndarray, got: str
) -> None:
    path = by_opencv(tmp_path / "a.tif", pixels)
    with pytest.raises(DataError, match=rf"a\.tif \(it must have 1 to 16 unsigned bits a channel, got {got}\)"):
        read_image(path)
    with pytest.raises(DataError, match=got):
        read_size(path)


@pytest.mark.parametrize("mode", ["I", "F"])
def test_pillows_deep_modes_are_refused(tmp_path: Path, mode: str) -> None:
    path = tmp_path / "a.tif"
    path.write_bytes(encoded(PIL.Image.fromarray(PICTURE).convert("L").convert(mode), "TIFF"))
    with pytest.raises(DataError, match="1 to 16 unsigned bits a channel, got 32"):
        read_image(path)


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("deep", [False, True])
def test_the_orientation_tag_turns_only_when_asked(tmp_path: Path, orientation: int, deep: bool) -> None:
    path = tmp_path / "a.tif"
    expected: Image = PICTURE
    if deep:
        path.write_bytes(deep_tiff(orientation))
        expected = np.repeat(PICTURE[:, :, :1], 3, axis=2)
    else:
        tag = PIL.Image.Exif()
        tag[0x0112] = orientation
        path.write_bytes(encoded(PICTURE, "TIFF", exif=tag))
    np.testing.assert_array_equal(read_image(path), expected)
    turned = PIL.ImageOps.exif_transpose(jpeg_like(expected, orientation))
    np.testing.assert_array_equal(read_image(path, "apply"), np.asarray(turned))
    assert read_size(path) == (48, 64)
    assert read_size(path, "apply") == (turned.height, turned.width)


def jpeg_like(image: Image, orientation: int) -> PIL.Image.Image:
    """The picture as a format holds it whose orientation Pillow leaves to its user."""
    picture = PIL.Image.fromarray(image)
    picture.getexif()[0x0112] = orientation
    return picture


def deep_tiff(orientation: int) -> bytes:
    """A grey TIFF of 16 bits with the tag."""
    grey = PIL.Image.fromarray(PICTURE[:, :, 0].astype(np.uint16) * 257)
    return encoded(grey, "TIFF", tiffinfo={274: orientation})
