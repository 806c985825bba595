import os
import struct
from pathlib import Path

import pytest

from detector.data.video_files import container_of, is_cut
from detector.errors import DataError


def box(kind: bytes, content: bytes) -> bytes:
    return struct.pack(">I", 8 + len(content)) + kind + content


def riff(content: bytes, form: bytes = b"AVI ") -> bytes:
    return b"RIFF" + struct.pack("<I", 4 + len(content)) + form + content


def element(name: bytes, content: bytes, bytes_of_size: int = 8) -> bytes:
    marked = len(content) | 1 << 7 * bytes_of_size
    return name + marked.to_bytes(bytes_of_size, "big") + content


EBML = element(b"\x1aE\xdf\xa3", b"matroska", 1)
SEGMENT = b"\x18S\x80g"
LONG_BOX = struct.pack(">I4sQ", 1, b"mdat", 16 + 40) + bytes(40)
WHOLE = {
    "AVI": riff(bytes(100)),
    "AVI of two parts": riff(bytes(101)) + b"\0" + riff(bytes(50), b"AVIX"),
    "MP4": box(b"ftyp", b"isom") + box(b"moov", bytes(30)) + LONG_BOX,
    "MP4 of open end": box(b"ftyp", b"isom") + struct.pack(">I4s", 0, b"mdat") + bytes(40),
    "Matroska": EBML + element(SEGMENT, bytes(60)),
    "Matroska of short sizes": EBML + element(SEGMENT, bytes(60), 2),
    "Matroska of open end": EBML + SEGMENT + b"\x01" + b"\xff" * 7 + bytes(60),
}
OTHERS = {
    "MPEG": [
        b"\0\0\1\xba" + bytes(40),
        b"\0\0\1\xb3" + bytes(40),
        (b"\x47" + bytes(187)) * 4,
        (bytes(4) + b"\x47" + bytes(187)) * 4,
    ],
    "ASF": [b"0&\xb2u\x8ef\xcf\x11" + bytes(40)],
    "FLV": [b"FLV\1\5" + bytes(40)],
    "Ogg": [b"OggS" + bytes(40)],
    "Y4M": [b"YUV4MPEG2 W2 H2\n"],
    "IVF": [b"DKIF" + bytes(40)],
    "MJPEG": [b"\xff\xd8\xff\xe0" + bytes(40)],
}
NO_VIDEOS = {
    "playlist": b"#EXTM3U\n#EXTINF:10,\nhttp://example.com/a.ts\n",
    "list of files": b"ffconcat version 1.0\nfile /etc/passwd\n",
    "session": b"v=0\no=- 0 0 IN IP4 127.0.0.1\n",
    "manifest": b'<?xml version="1.0"?><MPD></MPD>',
    "sound": b"RIFF\x10\0\0\0WAVEfmt ",
    "text": b"no video",
    "one packet": b"\x47" + bytes(187),
    "zeros": bytes(5000),
}


def written(path: Path, content: bytes) -> Path:
    path.write_bytes(content)
    return path


@pytest.mark.parametrize("name", WHOLE)
def test_a_whole_file_is_known_and_not_cut(tmp_path: Path, name: str) -> None:
    path = written(tmp_path / "film", WHOLE[name])
    container = container_of(path)
    assert container == name.split()[0]
    assert not is_cut(path, container)


@pytest.mark.parametrize("name", [name for name in WHOLE if "open end" not in name])
@pytest.mark.parametrize("lost", [1, 20, 45])
def test_a_file_that_lost_its_end_is_cut(tmp_path: Path, name: str, lost: int) -> None:
    path = written(tmp_path / "film", WHOLE[name][:-lost])
    assert is_cut(path, container_of(path))


@pytest.mark.parametrize("container", OTHERS)
def test_other_containers_are_known_by_their_beginning(tmp_path: Path, container: str) -> None:
    for content in OTHERS[container]:
        path = written(tmp_path / "film", content)
        assert container_of(path) == container
        assert not is_cut(path, container_of(path))


@pytest.mark.parametrize("name", NO_VIDEOS)
def test_what_names_other_files_or_is_no_video_is_refused(tmp_path: Path, name: str) -> None:
    path = written(tmp_path / "film.avi", NO_VIDEOS[name])
    with pytest.raises(
        DataError, match=r"video must be a readable file, got .*film\.avi \(it is none of AVI, MP4"
    ):
        container_of(path)


@pytest.mark.parametrize("brand", [b"avif", b"heic", b"mif1"])
def test_a_photograph_in_a_video_s_container_is_told_as_one(tmp_path: Path, brand: bytes) -> None:
    path = written(tmp_path / "IMG_1.heic", b"\0\0\0\x18ftyp" + brand + b"\0\0\0\0mif1" + brand + bytes(2000))
    with pytest.raises(
        DataError, match=r"got .*IMG_1\.heic \(it is a still image, AVIF or HEIC, which are not read\)"
    ):
        container_of(path)


def test_what_is_no_file_with_content_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"\(it is empty\)"):
        container_of(written(tmp_path / "film", b""))
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(DataError, match=r"\(it is no regular file\)"):
        container_of(tmp_path / "pipe")


@pytest.mark.parametrize("name", ["AVI", "MP4", "Matroska"])
def test_no_size_in_a_header_is_followed_for_ever(tmp_path: Path, name: str) -> None:
    start = WHOLE[name][:12]
    for filling in (b"\0" * 5000, b"\xff" * 5000, b"\0\0\0\1mdat" + bytes(5000), b"\0\0\0\x08free" * 500_000):
        path = written(tmp_path / "film", start + filling)
        is_cut(path, container_of(path))
