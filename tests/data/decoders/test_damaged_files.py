"""Damage of each format: told of the file, with nothing left on the screen that names none."""

import io
import struct
import zlib
from pathlib import Path

import numpy as np
import PIL.Image
import PIL.PngImagePlugin
import pytest
from image_bytes import encoded, noisy_picture, replaced

from detector.data.images import check_image, read_image, read_size
from detector.errors import DataError
from detector.records import Image

PICTURE = noisy_picture()


def written(path: Path, content: bytes) -> Path:
    path.write_bytes(content)
    return path


def entropy(content: bytes) -> int:
    """Where the compressed data of a JPEG begin."""
    return content.index(b"\xff\xda") + 14


def jpegs() -> dict[str, bytes]:
    content = encoded(PICTURE, "JPEG")
    progressive = encoded(PICTURE, "JPEG", progressive=True)
    middle = (entropy(content) + len(content)) // 2
    return {
        "cut piece": content[:middle] + content[middle + 300 :],
        "zeros": replaced(content, middle, bytes(512)),
        "random": replaced(content, middle, np.random.default_rng(0).bytes(256)),
        "half, then the end": content[:middle] + b"\xff\xd9",
        "half": content[:middle],
        "half of a progressive one": progressive[: len(progressive) // 2],
        "half of a progressive one, then the end": progressive[: len(progressive) // 2] + b"\xff\xd9",
    }


@pytest.mark.parametrize("name", jpegs())
def test_a_damaged_jpeg_is_never_read(tmp_path: Path, name: str, capfd: pytest.CaptureFixture[str]) -> None:
    path = written(tmp_path / "a.jpg", jpegs()[name])
    for read in (read_image, check_image):
        with pytest.raises(DataError, match=r"a whole, readable file, got .*a\.jpg \(its data are dam"):
            read(path)
    assert capfd.readouterr().err == ""


def test_damage_that_the_decoder_overlooks_is_found_by_the_check(tmp_path: Path) -> None:
    content, random = encoded(PICTURE, "JPEG"), np.random.default_rng(3)
    found = 0
    for _ in range(60):
        at = int(random.integers(entropy(content), len(content) - 200))
        path = written(tmp_path / "a.jpg", replaced(content, at, random.bytes(3)))
        try:
            read_image(path)
        except DataError:
            continue
        try:
            check_image(path)
        except DataError as error:
            found += "a.jpg (its data are damaged: " in str(error)
    assert found >= 2


@pytest.mark.parametrize(
    "content",
    [
        encoded(PICTURE, "JPEG"),
        encoded(PICTURE, "JPEG", progressive=True),
        encoded(PICTURE, "JPEG", restart_marker_blocks=2),
        encoded(PICTURE, "JPEG").replace(b"JFIF\0\1", b"JFIF\0\7"),  # a revision that there is not
    ],
)
def test_what_does_no_harm_is_read_and_passes_the_check(
    tmp_path: Path, content: bytes, capfd: pytest.CaptureFixture[str]
) -> None:
    expected = np.asarray(PIL.Image.open(io.BytesIO(content)))
    filled = content[:-2] + bytes(3) + content[-2:]
    for variant in (content, content[:-2], content[:-1], content + b"\0\0trailer", filled, filled + b"\n"):
        path = written(tmp_path / "a.jpg", variant)
        np.testing.assert_array_equal(read_image(path), expected)
        check_image(path)
        assert read_size(path) == expected.shape[:2]
    assert capfd.readouterr().err == ""


def test_a_jpeg_that_states_far_more_pixels_than_it_can_hold_is_refused_undecoded(tmp_path: Path) -> None:
    content = encoded(PICTURE, "JPEG")
    size = content.index(b"\xff\xc0") + 5
    path = written(tmp_path / "a.jpg", replaced(content, size, b"\x30\0\x30\0"))
    with pytest.raises(DataError, match="its data are damaged: too few bytes for its size"):
        read_image(path)
    flat = written(tmp_path / "b.jpg", encoded(np.zeros((3000, 3000, 3), np.uint8), "JPEG", optimize=True))
    assert not read_image(flat).any()


def test_a_progressive_jpeg_without_its_last_scan_is_damaged(tmp_path: Path) -> None:
    content = encoded(PICTURE, "JPEG", progressive=True)
    tables = content.rindex(b"\xff\xc4", 0, content.rindex(b"\xff\xda"))
    path = written(tmp_path / "a.jpg", content[:tables])
    for read in (read_image, read_size, check_image):
        with pytest.raises(DataError, match="its data are damaged: the end before the last scan"):
            read(path)


@pytest.mark.parametrize("kind", ["PNG", "GIF", "WEBP", "BMP", "TIFF"])
def test_half_of_a_file_is_refused(tmp_path: Path, kind: str, capfd: pytest.CaptureFixture[str]) -> None:
    content = encoded(PICTURE, kind)
    path = written(tmp_path / "a.png", content[: len(content) // 2])
    for read in (read_image, check_image):
        with pytest.raises(DataError, match=r"image must be a whole, readable file, got .*a\.png \("):
            read(path)
    assert capfd.readouterr().err == ""


def png(pixels: Image, colour: int, *, interlaced: bool = False, rows: int | None = None) -> bytes:
    """A PNG of 8 bits a channel, whole but for its rows, of which only the first are there."""
    height, width = pixels.shape[:2]
    lines = b"".join(b"\0" + row.tobytes() for row in pixels[:rows])
    header = struct.pack(">IIBBBBB", width, height, 8, colour, 0, 0, interlaced)
    chunks = ((b"IHDR", header), (b"IDAT", zlib.compress(lines)), (b"IEND", b""))
    parts = (
        struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
        for kind, data in chunks
    )
    return b"\x89PNG\r\n\x1a\n" + b"".join(parts)


@pytest.mark.parametrize(
    ("content", "why"),
    [
        (png(PICTURE, 2, rows=-1), r"its pixels end early: \d+ of \d+ bytes"),
        (png(PICTURE[:, :, 0], 0, rows=1), "its pixels end early"),
        (png(PICTURE, 2, interlaced=True, rows=90), "its pixels end early"),
        (png(PICTURE[:, :, 0], 3), "it has no palette"),
    ],
)
def test_a_png_whose_parts_are_whole_and_too_few_is_refused(tmp_path: Path, content: bytes, why: str) -> None:
    path = written(tmp_path / "a.png", content)
    for read in (read_image, check_image):
        with pytest.raises(DataError, match=rf"got .*a\.png \({why}"):
            read(path)


@pytest.mark.parametrize("interlaced", [False, True])
def test_a_whole_png_with_a_damaged_remark_is_read(tmp_path: Path, interlaced: bool) -> None:
    picture = PICTURE[:1, :1] if interlaced else PICTURE  # of one pixel the first pass is all
    content = png(picture, 2, interlaced=interlaced)
    remark = b"\0\0\0\1tEXta" + b"lost"
    path = written(tmp_path / "a.png", content[:33] + remark + content[33:])
    np.testing.assert_array_equal(read_image(path), picture)


@pytest.mark.parametrize("options", [{}, {"bits": 4}])
@pytest.mark.parametrize("piece", [b"\x10", bytes(40), b"\xa7" * 300])
def test_a_png_with_overwritten_pixels_is_refused(
    tmp_path: Path, piece: bytes, options: dict[str, int], capfd: pytest.CaptureFixture[str]
) -> None:
    picture = PIL.Image.fromarray(PICTURE)
    content = encoded(picture.quantize(16) if options else picture, "PNG", **options)
    path = written(tmp_path / "a.png", replaced(content, len(content) // 2, piece))
    for read in (read_image, check_image):
        with pytest.raises(DataError, match=r"got .*a\.png \(its IDAT chunk at byte \d+ is damaged\)"):
            read(path)
    assert capfd.readouterr().err == ""


def test_a_png_whose_text_is_damaged_is_read(tmp_path: Path) -> None:
    text = PIL.PngImagePlugin.PngInfo()
    text.add_text("Comment", "a" * 50)
    content = encoded(PICTURE, "PNG", pnginfo=text)
    path = written(tmp_path / "a.png", replaced(content, content.index(b"Comment") + 20, b"b"))
    np.testing.assert_array_equal(read_image(path), PICTURE)


@pytest.mark.parametrize("compression", ["tiff_lzw", "tiff_adobe_deflate"])
def test_a_tiff_that_its_decoder_cannot_follow_is_refused(
    tmp_path: Path, compression: str, capfd: pytest.CaptureFixture[str]
) -> None:
    content = encoded(PICTURE, "TIFF", compression=compression)
    path = written(tmp_path / "a.tif", replaced(content, 40, b"\x81\xff" * 30))
    with pytest.raises(DataError, match=r"image must be a whole, readable file, got .*a\.tif \("):
        read_image(path)
    assert capfd.readouterr().err == ""


@pytest.mark.shared
def test_the_damaged_case_is_found_whole(shared: Path, capfd: pytest.CaptureFixture[str]) -> None:
    folder = shared / "cases" / "damaged_jpeg"
    bad = [path.name for path in sorted(folder.rglob("*.*")) if path.suffix != ".xml" and not passes(path)]
    assert len(bad) == 6
    assert "t.jpg" not in bad
    assert capfd.readouterr().err == ""


def passes(path: Path) -> bool:
    try:
        check_image(path)
    except DataError as error:
        assert str(path) in str(error)
        return False
    return True
