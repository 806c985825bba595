"""Files that are no photographs, or whose headers promise more than anybody can hold."""

import os
import struct
import zlib
from pathlib import Path

import numpy as np
import PIL.Image
import pytest
from image_bytes import encoded, noisy_picture, replaced

from detector.data.decoders.kinds import KINDS, MOST_PIXELS
from detector.data.images import check_image, read_image, read_size
from detector.errors import DataError

PICTURE = noisy_picture(24, 32)
READERS = (read_image, read_size, check_image)


def chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def png(height: int, width: int, *more: bytes) -> bytes:
    """A grey PNG that states this size and has pixels for one row of 8."""
    header = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    chunks = [chunk(b"IHDR", header), *more, chunk(b"IDAT", zlib.compress(bytes(9))), chunk(b"IEND", b"")]
    return b"\x89PNG\r\n\x1a\n" + b"".join(chunks)


def refused(path: Path, content: bytes) -> str:
    """The one line with which every reader refuses the file."""
    path.write_bytes(content)
    messages = set()
    for read in READERS:
        with pytest.raises(DataError) as caught:
            read(path)
        messages.add(str(caught.value))
    (message,) = messages
    assert "\n" not in message
    assert message.startswith(f"image must be a whole, readable file, got {path} (")
    return message


OTHERS = {
    "PostScript": b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n%%EndComments\n{ } loop\n%%EOF\n",
    "PDF": b"%PDF-1.4\n1 0 obj<</Type/Catalog>>endobj\ntrailer<</Root 1 0 R>>\n%%EOF\n",
    "SVG": b'<svg xmlns="http://www.w3.org/2000/svg" width="9" height="9"><rect width="9" height="9"/></svg>',
    "HTML": b"<!DOCTYPE html><html><body>404</body></html>",
    "WMF": b"\xd7\xcd\xc6\x9a" + bytes(60),
    "PNM": b"P6\n2 2\n255\n" + bytes(12),
    "PFM": b"Pf\n2 2\n-1.0\n" + bytes(16),
    "Radiance": b"#?RADIANCE\nFORMAT=32-bit_rle_rgbe\n\n-Y 2 +X 2\n" + bytes(16),
    "OpenEXR": b"\x76\x2f\x31\x01" + bytes(40),
    "Sun raster": b"\x59\xa6\x6a\x95" + bytes(60),
    "Targa": encoded(PICTURE, "TGA"),
    "icon": encoded(PICTURE, "ICO"),
    "JPEG 2000": encoded(PICTURE, "JPEG2000"),
    "PCX": encoded(PICTURE, "PCX"),
    "EPS": encoded(PICTURE, "EPS"),
    "zip": b"PK\x03\x04" + bytes(60),
    "text": b"no image",
    "other RIFF": b"RIFF\x10\0\0\0AVI LIST" + bytes(20),
}


@pytest.mark.parametrize("name", OTHERS)
def test_other_formats_are_refused_and_reach_no_decoder(
    tmp_path: Path, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def decode(*_: object, **__: object) -> None:
        raise AssertionError("a decoder was asked")

    content = OTHERS[name]
    monkeypatch.setattr(PIL.Image, "open", decode)
    monkeypatch.setattr("cv2.imdecode", decode)
    assert f"it is none of {', '.join(KINDS)}" in refused(tmp_path / "a.jpg", content)


@pytest.mark.parametrize("kind", [kind for kind in KINDS if kind != "JPEG"])
def test_a_format_is_told_by_its_beginning_and_others_may_follow(tmp_path: Path, kind: str) -> None:
    """The beginning of one format with the rest of another is damaged, and never the other."""
    content = encoded(PICTURE, kind)[:12] + OTHERS["PostScript"]
    refused(tmp_path / "a.jpg", content)


def test_an_empty_file_is_called_so(tmp_path: Path) -> None:
    assert "(it is empty)" in refused(tmp_path / "a.jpg", b"")


def too_large() -> dict[str, bytes]:
    jpeg, webp = encoded(PICTURE, "JPEG"), encoded(PICTURE, "WEBP")
    side = struct.pack(">H", 60_000)
    tiff = encoded(PICTURE, "TIFF")
    tiff = tiff.replace(struct.pack("<HHII", 256, 4, 1, 32), struct.pack("<HHII", 256, 4, 1, 60_000))
    tiff = tiff.replace(struct.pack("<HHII", 257, 4, 1, 24), struct.pack("<HHII", 257, 4, 1, 60_000))
    return {
        "JPEG": replaced(jpeg, jpeg.index(b"\xff\xc0") + 5, side + side),
        "PNG": png(60_000, 60_000),
        "GIF": replaced(encoded(PICTURE, "GIF"), 6, struct.pack("<HH", 60_000, 60_000)),
        "BMP": replaced(encoded(PICTURE, "BMP"), 18, struct.pack("<ii", 60_000, 60_000)),
        "WEBP": replaced(webp, webp.index(b"\x9d\x01\x2a") + 3, struct.pack("<HH", 16_383, 16_383)),
        "TIFF": tiff,
    }


@pytest.mark.parametrize("kind", KINDS)
def test_more_pixels_than_anybody_needs_are_refused_before_they_are_decoded(tmp_path: Path, kind: str) -> None:
    message = refused(tmp_path / "a.jpg", too_large()[kind])
    assert f"it must have 1 to {MOST_PIXELS:,} pixels, got " in message or "exceeds limit" in message


@pytest.mark.parametrize("content", [png(0, 8), png(8, 0)])
def test_images_without_pixels_are_refused(tmp_path: Path, content: bytes) -> None:
    assert "pixels, got" in refused(tmp_path / "a.png", content)


def test_texts_and_profiles_beside_a_picture_are_not_unpacked(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    bomb = chunk(b"zTXt", b"Comment\0\0" + zlib.compress(bytes(200_000_000), 1))
    profile = chunk(b"iCCP", b"odd\0\0" + zlib.compress(b"no profile"))
    path = tmp_path / "a.png"
    path.write_bytes(png(1, 8, bomb, profile))
    for exif in ("ignore", "apply"):
        np.testing.assert_array_equal(read_image(path, exif), np.zeros((1, 8, 3)))
        assert read_size(path, exif) == (1, 8)
    assert capfd.readouterr().err == ""


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="a system without pipes in the file system")
def test_pipes_and_devices_are_refused_at_once(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "a.jpg")
    for read in READERS:
        for path in (tmp_path / "a.jpg", Path("/dev/zero")):
            with pytest.raises(
                DataError, match=r"image must be a readable file, got .* \(it is no regular file\)"
            ):
                read(path)


def test_a_file_of_many_gigabytes_is_refused_unread(tmp_path: Path) -> None:
    path = tmp_path / "a.jpg"
    with path.open("wb") as file:
        file.write(b"\xff\xd8\xff")
        file.truncate(1 << 40)
    for read in READERS:
        with pytest.raises(DataError, match=r"image must be a readable file, got .* \(it has more than 2 GiB\)"):
            read(path)


def test_a_name_with_a_nul_is_refused(tmp_path: Path) -> None:
    for read in READERS:
        with pytest.raises(DataError, match="image must be a readable file"):
            read(Path(f"{tmp_path}/a\0b.jpg"))


def test_memory_that_is_not_there_is_told_of_the_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def decode(*_: object) -> None:
        raise MemoryError

    monkeypatch.setattr("simplejpeg.decode_jpeg", decode)
    path = tmp_path / "a.jpg"
    path.write_bytes(encoded(PICTURE, "JPEG"))
    with pytest.raises(DataError, match=r"got .*a\.jpg \(it needs more memory than there is\)"):
        read_image(path)
