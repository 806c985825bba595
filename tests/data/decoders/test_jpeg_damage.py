from contextlib import suppress
from pathlib import Path

import numpy as np
import PIL.Image
import pytest
import simplejpeg
from image_bytes import encoded, noisy_picture, replaced

from detector.data.decoders.jpeg_damage import NotExamined, find_damage, frame_size, is_progressive

PICTURE = noisy_picture()
ODD = noisy_picture(61, 83)
KINDS: dict[str, bytes] = {
    "4:2:0": encoded(PICTURE, "JPEG", subsampling=2),
    "4:2:2": encoded(ODD, "JPEG", subsampling=1),
    "4:4:4": encoded(ODD, "JPEG", subsampling=0),
    "odd sizes": encoded(ODD, "JPEG", subsampling=2),
    "one pixel": encoded(PICTURE[:1, :1], "JPEG"),
    "worst quality": encoded(PICTURE, "JPEG", quality=1),
    "best quality": encoded(PICTURE, "JPEG", quality=100),
    "tables of its own": encoded(PICTURE, "JPEG", optimize=True),
    "greyscale": encoded(PIL.Image.fromarray(ODD).convert("L"), "JPEG"),
    "CMYK": encoded(PIL.Image.fromarray(ODD).convert("CMYK"), "JPEG"),
    "restart markers": encoded(ODD, "JPEG", restart_marker_blocks=3),
    "restart after a row": encoded(PICTURE, "JPEG", restart_marker_rows=1),
    "progressive": encoded(PICTURE, "JPEG", progressive=True, quality=90),
    "progressive of odd sizes": encoded(ODD, "JPEG", progressive=True, subsampling=2),
    "progressive greyscale": encoded(PIL.Image.fromarray(ODD).convert("L"), "JPEG", progressive=True),
    "progressive with restarts": encoded(ODD, "JPEG", progressive=True, restart_marker_blocks=5),
    "black and white": encoded(PICTURE // 128 * 255, "JPEG", quality=100, subsampling=0),
}


@pytest.mark.parametrize("kind", KINDS)
def test_a_whole_file_is_without_damage(kind: str) -> None:
    assert find_damage(KINDS[kind]) is None


@pytest.mark.parametrize("kind", KINDS)
def test_the_header_tells_size_and_progression(kind: str) -> None:
    assert frame_size(KINDS[kind]) == simplejpeg.decode_jpeg_header(KINDS[kind])[:2]
    assert is_progressive(KINDS[kind]) == ("progressive" in kind)


@pytest.mark.parametrize("kind", [kind for kind in KINDS if kind != "one pixel"])
def test_a_file_that_lost_its_second_half_is_damaged(kind: str) -> None:
    content = KINDS[kind]
    assert find_damage(content[: len(content) // 2 + 200] + b"\xff\xd9") is not None


@pytest.mark.parametrize("kind", ["4:2:0", "greyscale", "CMYK", "progressive", "restart markers"])
def test_nearly_all_overwritten_pieces_are_found(kind: str) -> None:
    """A piece of 64 random bytes in the scans; what changes no number into an impossible one cannot be found."""
    content, random = KINDS[kind], np.random.default_rng(0)
    begin = content.index(b"\xff\xda") + 20
    found = 0
    for _ in range(40):
        at = int(random.integers(begin, len(content) - 200))
        piece = random.integers(0, 255, 64, np.uint8).tobytes()  # without markers
        try:
            found += find_damage(replaced(content, at, piece)) is not None
        except NotExamined:  # markers hit
            found += 1
    assert found >= 38


def test_damage_that_libjpeg_does_not_notice_is_found() -> None:
    content, random = KINDS["4:2:0"], np.random.default_rng(1)
    begin = content.index(b"\xff\xda") + 20
    overlooked = 0
    for _ in range(300):
        damaged = replaced(content, int(random.integers(begin, len(content) - 200)), random.bytes(3))
        try:
            simplejpeg.decode_jpeg(damaged)
        except ValueError:
            continue
        overlooked += find_damage(damaged) is not None
    assert overlooked >= 5


@pytest.mark.parametrize(
    ("filling", "damage"),
    [
        (b"\0\0\0", None),
        (b"\xff\xff", None),
        (b"\x12\x34\x56", "bytes after the last block in unit 96 of 96"),
    ],
)
def test_bytes_before_the_end_are_damage_unless_they_only_fill_up(filling: bytes, damage: str | None) -> None:
    content = encoded(noisy_picture(64, 96), "JPEG", subsampling=0)
    assert find_damage(content[:-2] + filling + content[-2:]) == damage


def test_a_progressive_file_without_its_last_scan_is_damaged() -> None:
    content = KINDS["progressive"]
    scans = [at for at in range(len(content) - 1) if content[at : at + 2] == b"\xff\xda"]
    tables = content.rindex(b"\xff\xc4", 0, scans[-1])
    assert find_damage(content[:tables] + b"\xff\xd9") == "the end before the last scan"


def test_a_lost_restart_interval_is_damage() -> None:
    content = KINDS["restart markers"]
    first, second = content.index(b"\xff\xd0"), content.index(b"\xff\xd1")
    assert find_damage(content[:first] + content[second:]) == "restart markers too few or too many"


def test_coefficients_beyond_those_of_a_picture_are_damage() -> None:
    content = KINDS["4:4:4"]
    at = content.index(b"\xff\xdb") + 5
    assert find_damage(replaced(content, at, b"\xff")) == "a coefficient too large in unit 1 of 88"


@pytest.mark.parametrize("marker", [0xC3, 0xC9, 0xCA])
def test_lossless_and_arithmetic_files_are_not_examined(marker: int) -> None:
    content = KINDS["4:4:4"]
    with pytest.raises(NotExamined, match="another kind"):
        find_damage(replaced(content, content.index(b"\xff\xc0") + 1, bytes([marker])))


def test_a_file_without_its_tables_is_not_examined() -> None:
    content = KINDS["4:4:4"]
    tables, scan = content.index(b"\xff\xc4"), content.index(b"\xff\xda")
    with pytest.raises(NotExamined):
        find_damage(content[:tables] + content[scan:])


@pytest.mark.parametrize(
    "content", [b"\xff\xd8\xff", b"\xff\xd8\xff\xe0", b"\xff\xd8\xff\xe0\0\x10JF", b"\xff\xd8\0\0"]
)
def test_a_file_without_a_frame_has_no_size(content: bytes) -> None:
    with pytest.raises(ValueError, match=r"no frame header|no marker"):
        frame_size(content)
    with pytest.raises(NotExamined):
        find_damage(content)


@pytest.mark.parametrize("seed", range(4))
def test_no_header_breaks_the_examination(seed: int) -> None:
    """Whatever the markers state, there is an answer: tables, sizes and scans that contradict each other."""
    random = np.random.default_rng(seed)
    for kind in ("progressive", "4:2:0", "restart markers"):
        content = KINDS[kind]
        end = content.index(b"\xff\xda") + 14
        for _ in range(150):
            damaged = bytearray(content)
            for at in random.integers(2, end, random.integers(1, 6)):
                damaged[at] = random.integers(0, 256)
            with suppress(NotExamined):
                assert find_damage(bytes(damaged)) != ""


@pytest.mark.shared
def test_no_real_photograph_is_damaged(shared: Path) -> None:
    paths = [path for path in sorted((shared / "data").rglob("*.[jJ][pP]*")) if path.is_file()][::5]
    assert len(paths) > 200
    for path in paths:
        assert find_damage(path.read_bytes()) is None, path
