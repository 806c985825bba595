"""Images to be looked at, one after another: files, folders of them, videos and cameras."""

import os
import re
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

import cv2

from detector.data.decoders.kinds import kind_of
from detector.data.folders import IMAGE_SUFFIXES, images_below, is_file, is_folder
from detector.data.images import Exif, read_image
from detector.data.playback import Playback, runs_text, stated_length
from detector.data.video_files import container_of, is_cut
from detector.errors import DataError
from detector.records import Image
from detector.text import parse_int, shown

STREAM_SUFFIXES = (".mjpg", ".mjpeg")  # of videos that begin as a JPEG does
LAST_CAMERA = 2**31 - 1  # OpenCV takes a C int
ROUNDED, EDITED = 0.1, 1.0  # shares of a video's length that its header may state too much
NOT_UTF8 = re.compile("[\ud800-\udfff]")  # names with these crash OpenCV

os.environ.setdefault("OPENCV_FFMPEG_LOGLEVEL", "-8")  # its remarks name no file; what is missing, we tell


@dataclass(frozen=True, eq=False)
class Frame:
    """One image: a file that is not read yet, or the picture `number` (from 0) of a video or camera.

    With a `problem` it stands for pictures of a video that cannot be read.
    """

    file: str
    number: int | None = None
    pixels: Image | None = None
    problem: str = ""

    def read(self, exif: Exif) -> Image:
        """The pixels (H, W, 3) uint8 RGB; DataError names what cannot be read."""
        if self.problem:
            raise DataError(self.problem)
        return read_image(Path(self.file), exif) if self.pixels is None else self.pixels


@dataclass(frozen=True)
class Stills:
    """Image files; `left_out` are those beside them that are none of them, by why that is."""

    paths: tuple[Path, ...]
    left_out: Mapping[str, Sequence[Path]] = field(default_factory=dict)

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
        """Its pictures, those after damaged ones too; a last frame tells which of a file cannot be read."""
        capture = self._open()
        try:
            playback = Playback(capture, self._stated_length(capture), self.every, self.limit)
            for number, pixels in playback:
                yield Frame(self.name, number, pixels)
            problem = "" if is_live(self) else self._problem(playback)
        finally:
            capture.release()
        if problem:
            yield Frame(self.name, problem=problem)

    @property
    def name(self) -> str:
        """The file as it was given, or the camera."""
        return f"camera {self.source}" if is_live(self) else str(self.source)

    def check(self) -> None:
        """Raise DataError where OpenCV cannot open it."""
        self._open().release()

    def length(self) -> int | None:
        """How many pictures there will be, None where that is not known."""
        frames = 0
        if not is_live(self):
            capture = self._open()
            frames = -(-stated_length(capture) // self.every)
            capture.release()
        known = [number for number in (frames, self.limit) if number]
        return min(known) if known else None

    def _open(self) -> cv2.VideoCapture:
        if not isinstance(self.source, int):
            container_of(Path(self.source))
        with suppress(cv2.error):
            capture = cv2.VideoCapture(self.source) if is_live(self) else _open_file(Path(str(self.source)))
            if capture.isOpened():
                return capture
        wanted = "camera must be one that OpenCV opens" if is_live(self) else "video must be a readable file"
        raise DataError(f"{wanted}, got {self.source}")

    def _stated_length(self, capture: cv2.VideoCapture) -> int:
        return 0 if is_live(self) else stated_length(capture)

    def _problem(self, playback: Playback) -> str:
        """What to say of pictures that could not be read, "" where there are none.

        An AVI counts its pictures. An MP4's count has those that its edit list leaves out; others state the
        seconds of their longest track. So of these only a gap at the end is told that is no rounding.
        """
        path = Path(str(self.source))
        container = container_of(path)
        roughly = EDITED if container == "MP4" else ROUNDED
        lacks_end = container == "AVI" or is_cut(path, container) or playback.ends_early(roughly)
        runs = playback.missing(lacks_end)
        if not runs and not playback.end:
            return f"video must hold pictures, got none in {self.name}"
        total = max(playback.stated, playback.end)
        text = f"video must be whole, got {self.name} ({runs_text(runs)} of {total} cannot be read)"
        return text if runs else ""


FrameSource = Stills | Video


def find_sources(words: Sequence[str], every: int = 1, limit: int = 0) -> list[FrameSource]:
    """What each word names: an image, a folder (searched with those below it), a video or a camera's number.

    The files of a folder come in the order of their paths, those that cannot be read too; hidden ones are left
    out, and linked folders are searched once. DataError names a word that is nothing of that.
    """
    return [_find_source(word, every, limit) for word in words]


def left_out_lines(sources: Sequence[FrameSource]) -> list[str]:
    """A line for each folder with photographs of kinds that are not read, or pictures that were drawn."""
    left_out = [each for source in sources if isinstance(source, Stills) for each in source.left_out.items()]
    return [
        f"{len(paths)} {why} ({paths[0]}{', ...' if len(paths) > 1 else ''})" for why, paths in left_out if paths
    ]


def is_live(source: FrameSource) -> bool:
    """Whether it is a camera, which does not end by itself."""
    return isinstance(source, Video) and isinstance(source.source, int)


def count_frames(sources: Sequence[FrameSource]) -> int | None:
    """The number of images of all `sources`, None where it is not known."""
    lengths = [len(source) if isinstance(source, Stills) else source.length() for source in sources]
    known = [length for length in lengths if length is not None]
    return sum(known) if len(known) == len(lengths) else None


def _find_source(word: str, every: int, limit: int) -> FrameSource:
    path = Path(word)
    if word and is_folder(path):
        return _stills_below(path)
    if path.suffix.lower() in IMAGE_SUFFIXES and not is_file(path):
        raise DataError(f"image must be a file, got none at {word}")
    if path.suffix.lower() in IMAGE_SUFFIXES or _is_picture(path):
        return Stills((path,))
    is_camera = word.isascii() and word.isdecimal() and not os.path.exists(path)  # noqa: PTH110 - of any length
    if not is_camera and not is_file(path):
        wanted = "an image, a folder, a video or a camera's number"
        raise DataError(f"input must be {wanted}, got {word or shown(word)}")
    video = Video(_camera(word) if is_camera else word, every, limit)
    video.check()
    return video


def _camera(word: str) -> int:
    number = parse_int(word)  # None of a thousand digits and more
    if number is None or number > LAST_CAMERA:
        raise DataError(f"camera must be a number from 0 to {LAST_CAMERA}, got {word}")
    return number


def _stills_below(folder: Path) -> Stills:
    """All that is called as images are; reading tells of what is no file, such as a broken link or a pipe."""
    found = images_below(folder)
    if not found.images:
        raise DataError(f"folder must hold images ({', '.join(IMAGE_SUFFIXES)}), got none in {folder}")
    return Stills(tuple(found.images), found.left_out)


def _is_picture(path: Path) -> bool:
    """Whether a file whose name does not say so is an image, by its content."""
    if path.suffix.lower() in STREAM_SUFFIXES or not is_file(path):
        return False
    try:
        with path.open("rb") as file:
            kind_of(file.read(16))
    except (OSError, ValueError):
        return False
    return True


def _open_file(path: Path) -> cv2.VideoCapture:
    """A video file as a file alone: an address or a pattern of names is what a name may look like to FFmpeg."""
    backend = cv2.CAP_FFMPEG if cv2.videoio_registry.hasBackend(cv2.CAP_FFMPEG) else cv2.CAP_ANY
    name = str(path.absolute())
    if NOT_UTF8.search(name):
        with tempfile.TemporaryDirectory() as folder:
            link = Path(folder, "video")
            link.symlink_to(name)
            return cv2.VideoCapture(str(link), backend)
    return cv2.VideoCapture(name, backend)
