"""Images to be looked at, one after another: files, folders of them, videos and cameras."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import count, islice
from pathlib import Path

import cv2
import numpy as np

from detector.data.folders import IMAGE_SUFFIXES
from detector.data.images import Exif, read_image
from detector.errors import DataError
from detector.records import Image


@dataclass(frozen=True, eq=False)
class Frame:
    """One image: a file that is not read yet, or the picture `number` (from 0) of a video or camera."""

    file: str
    number: int | None = None
    pixels: Image | None = None

    def read(self, exif: Exif) -> Image:
        """The pixels (H, W, 3) uint8 RGB; DataError names a file that cannot be read."""
        return read_image(Path(self.file), exif) if self.pixels is None else self.pixels


@dataclass(frozen=True)
class Stills:
    """Image files."""

    paths: tuple[Path, ...]

    def __len__(self) -> int:
        return len(self.paths)

    def __iter__(self) -> Iterator[Frame]:
        return (Frame(str(path)) for path in self.paths)


@dataclass(frozen=True)
class Video:
    """Every `every`th picture of a video file, or of the camera with that number; `limit` of them, 0: all."""

    source: str | int
    every: int = 1
    limit: int = 0

    def __iter__(self) -> Iterator[Frame]:
        capture = self._open()
        name = f"camera {self.source}" if is_live(self) else str(self.source)
        try:
            for number in islice(count(0, self.every), self.limit or None):
                pixels = _next_picture(capture, self.every if number else 1)
                if pixels is None:
                    return
                yield Frame(name, number, pixels)
        finally:
            capture.release()

    def check(self) -> None:
        """Raise DataError where OpenCV cannot open it."""
        self._open().release()

    def length(self) -> int | None:
        """How many pictures there will be, None where that is not known."""
        frames = 0
        if not is_live(self):
            capture = self._open()
            frames = -(-int(max(capture.get(cv2.CAP_PROP_FRAME_COUNT), 0)) // self.every)
            capture.release()
        known = [number for number in (frames, self.limit) if number]
        return min(known) if known else None

    def _open(self) -> cv2.VideoCapture:
        capture = cv2.VideoCapture(self.source)
        if not capture.isOpened():
            wanted = "camera must be one that OpenCV opens" if is_live(self) else "video must be a readable file"
            raise DataError(f"{wanted}, got {self.source}")
        return capture


Source = Stills | Video


def find_sources(words: Sequence[str], every: int = 1, limit: int = 0) -> list[Source]:
    """What each word names: an image, a folder (searched with those below it), a video or a camera's number.

    The files of a folder come in the order of their paths. DataError names a word that is nothing of that.
    """
    return [_find_source(word, every, limit) for word in words]


def is_live(source: Source) -> bool:
    """Whether it is a camera, which does not end by itself."""
    return isinstance(source, Video) and isinstance(source.source, int)


def count_frames(sources: Sequence[Source]) -> int | None:
    """The number of images of all `sources`, None where it is not known."""
    lengths = [len(source) if isinstance(source, Stills) else source.length() for source in sources]
    known = [length for length in lengths if length is not None]
    return sum(known) if len(known) == len(lengths) else None


def _find_source(word: str, every: int, limit: int) -> Source:
    path = Path(word)
    if path.is_dir():
        return Stills(_images_below(path))
    if path.suffix.lower() in IMAGE_SUFFIXES:
        if not path.is_file():
            raise DataError(f"image must be a file, got none at {word}")
        return Stills((path,))
    is_camera = word.isascii() and word.isdecimal() and not path.exists()
    if not is_camera and not path.is_file():
        raise DataError(f"input must be an image, a folder, a video or a camera's number, got {word}")
    video = Video(int(word) if is_camera else word, every, limit)
    video.check()
    return video


def _images_below(folder: Path) -> tuple[Path, ...]:
    found = (path for path in folder.rglob("*") if path.suffix.lower() in IMAGE_SUFFIXES and path.is_file())
    paths = tuple(sorted(path for path in found if not path.name.startswith(".")))
    if not paths:
        raise DataError(f"folder must hold images ({', '.join(IMAGE_SUFFIXES)}), got none in {folder}")
    return paths


def _next_picture(capture: cv2.VideoCapture, steps: int) -> Image | None:
    """The picture `steps` further on; None at the end."""
    if not all(capture.grab() for _ in range(steps)):
        return None
    whole, picture = capture.retrieve()
    return np.ascontiguousarray(picture[:, :, ::-1], np.uint8) if whole else None
