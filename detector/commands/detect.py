"""Detect objects in images, folders, videos or from a camera, with a trained detector."""

import argparse
import sys
from collections.abc import Iterator, Sequence
from itertools import chain, count, groupby
from pathlib import Path

import cv2
from tqdm import tqdm

from detector.commands.options import Parser, a_path, a_score, add_detector, say_idle, whole_number
from detector.commands.process import say, say_left
from detector.data.classes import ClassList
from detector.data.exchange.detection_files import (
    DetectionWriter,
    Numbering,
    count_from_one,
    numbering_of,
    open_detection_files,
)
from detector.data.exchange.drawn_pictures import PictureFolder, picture_name
from detector.data.frames import Frame, FrameSource, Stills, count_frames, find_sources, is_live, left_out_lines
from detector.data.synsets import imagenet_synsets
from detector.errors import DataError
from detector.inference.detector import Found, ObjectDetector
from detector.jobs.load_detector import load_detector
from detector.progress import progress_bar
from detector.records import Image
from detector.runs.lock import owned
from detector.text import one_line

JPEG_QUALITY = 92
LONGEST_SIDE = 65_500  # pixels of a JPEG
SOME_LEFT_OUT, NOTHING_READ = 1, 2

FrameItem = tuple[Frame, int]  # and its position among all


def main(arguments: Sequence[str] | None = None) -> int:
    """Write results.json, detections.csv and pictures/; 1 where something was left out, 2 where all images were.

    What was found before an error or an interrupt is kept.
    """
    options = _parse(arguments)
    sources = find_sources(options.inputs, options.every, options.frames)
    for line in left_out_lines(sources):
        say(one_line(line))
    detector = load_detector(options.run, _overrides(options), options.classes, options.download)
    say_idle(options.run, detector.config, options.set)
    if options.classes:
        meant = map(imagenet_synsets().described, detector.wnids)
        say(one_line(", ".join(f"{name} is {each}" for name, each in zip(detector.classes, meant, strict=True))))
    if options.min_score is not None:
        detector.min_score = options.min_score
    numbering = _numbering(options.annotations, detector, sources)
    with owned(options.out):
        return _detect(options, detector, sources, numbering)


def _detect(
    options: argparse.Namespace, detector: ObjectDetector, sources: Sequence[FrameSource], numbering: Numbering
) -> int:
    """Write all that is found; the exit status."""
    task = _Task(detector, options)
    try:
        with open_detection_files(options.out, detector.classes, numbering, task.remove_earlier) as writer:
            task.run(sources, writer)
    except BaseException as error:
        if not (isinstance(error, KeyboardInterrupt) and any(map(is_live, sources))):
            task.tell("kept: ")
            raise
    task.tell()
    return task.status()


def _numbering(annotations: Path | None, detector: ObjectDetector, sources: Sequence[FrameSource]) -> Numbering:
    """The ids to write, those of `annotations` where given; DataError where an input is no image of these."""
    if annotations is None:
        return count_from_one(detector.classes)
    numbering = numbering_of(annotations, ClassList(detector.classes, detector.wnids))
    pairs = zip(detector.classes, numbering.category_ids, strict=True)
    missing = [name for name, number in pairs if number is None]
    if missing:
        known = f"{len(detector.classes) - len(missing)} of the detector's {len(detector.classes)} classes"
        say(one_line(f"{annotations} has {known}; left out of the results: {', '.join(missing)}"))
    files: list[str] = []
    for source in sources:
        if not isinstance(source, Stills):
            wanted = "images, whose ids --annotations gives"
            raise DataError(f"inputs must be {wanted}, got {source.name} ({annotations})")
        files += map(str, source.paths)
    numbering.check(files)
    return numbering


class _Task:
    """What the command does with each image, and how much it was."""

    def __init__(self, detector: ObjectDetector, options: argparse.Namespace) -> None:
        self.detector = detector
        self.options = options
        self.images = self.detections = 0
        self.left_out: list[str] = []
        self.pictures = PictureFolder(options.out / "pictures")

    def run(self, sources: Sequence[FrameSource], writer: DetectionWriter) -> None:
        """Detect in all images of `sources`, one after another."""
        found = self._detect(sources)
        for each in progress_bar(found, desc="detect", unit="image", total=count_frames(sources)):
            frame, position = each.item
            image_id = writer.numbering.image(frame.file, position)
            writer.add(image_id, frame.file, frame.number, each.detections)
            self.images += 1
            self.detections += len(each.detections.scores)
            if not self.options.no_pictures:
                self._draw(each, frame, image_id if isinstance(image_id, int) else position + 1)

    def tell(self, start: str = "") -> None:
        """Print what was written; nothing where a `start` says that it ended early, before the first image."""
        if self.images or not start:
            line = f"{start}{self.detections} detections in {self.images} images: {self.options.out}"
            sys.stdout.write(f"{one_line(line)}\n")

    def remove_earlier(self) -> None:
        """Delete the pictures of earlier results in the folder, and tell of those that others made or changed."""
        say_left(self.pictures.remove_earlier(), "pictures", self.pictures.folder)

    def status(self) -> int:
        """The exit status."""
        if not self.left_out:
            return 0
        return SOME_LEFT_OUT if self.images else NOTHING_READ

    def _detect(self, sources: Sequence[FrameSource]) -> Iterator[Found[FrameItem]]:
        """What is found in each image; what a camera shows is answered at once, the rest is read ahead."""
        positions = count()
        for live, group in groupby(sources, is_live):
            items = zip(chain.from_iterable(group), positions)  # noqa: B905 - positions do not end
            if live:
                for item in items:
                    yield from self.detector.stream([item], self._read, self._leave_out)
            else:
                yield from self.detector.stream(items, self._read, self._leave_out)

    def _read(self, item: FrameItem) -> Image:
        """The pixels; may run on any thread."""
        return item[0].read(self.detector.config.data.exif)

    def _leave_out(self, item: FrameItem, error: Exception) -> None:
        """Say why an image, or its picture, is not among what is written."""
        reason = " ".join(str(error).split()) or type(error).__name__
        where = "" if item[0].file in reason else f" ({item[0].file})"
        line = one_line(f"left out: {reason}{where}")
        tqdm.write(line, file=sys.stderr)
        self.left_out.append(line)

    def _draw(self, found: Found[FrameItem], frame: Frame, number: int) -> None:
        try:
            content = _jpeg(self.detector.draw(found.image, found.detections, self.options.min_score))
            self.pictures.write(picture_name(number, frame.file, frame.number), content)
        except Exception as error:  # whatever one picture meets must not cost the results of the others
            self._leave_out(found.item, error)


def _jpeg(pixels: Image) -> bytes:
    height, width = pixels.shape[:2]
    if max(height, width) > LONGEST_SIDE:
        wanted = f"at most {LONGEST_SIDE} pixels wide and high for a JPEG"
        raise DataError(f"picture must be {wanted}, got {width} x {height}")
    _, content = cv2.imencode(".jpg", pixels[:, :, ::-1], [cv2.IMWRITE_JPEG_QUALITY, JPEG_QUALITY])
    return content.tobytes()


def _overrides(options: argparse.Namespace) -> list[str]:
    words = [f"detect.max_per_image={options.top}"] if options.top else []
    return [*words, *options.set]


def _parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = Parser(prog="detect", description=__doc__)
    add_detector(parser)
    parser.add_argument(
        "inputs", nargs="+", metavar="IMAGE|FOLDER|VIDEO|CAMERA", help="files, folders, or a camera's number"
    )
    parser.add_argument(
        "--out", type=a_path, default=Path("runs/detect"), help="folder of the results (%(default)s)"
    )
    parser.add_argument(
        "--min-score", type=a_score, help="least score to keep and draw (kept: the run's; drawn: 0.5)"
    )
    parser.add_argument("--top", type=whole_number(1), default=0, help="best detections of an image (the run's)")
    parser.add_argument("--no-pictures", action="store_true", help="write results.json and detections.csv only")
    parser.add_argument("--annotations", type=a_path, help="COCO JSON whose ids of images and classes to write")
    parser.add_argument(
        "--every", type=whole_number(1), default=1, help="of a video every so many pictures (%(default)s)"
    )
    parser.add_argument(
        "--frames", type=whole_number(1), default=0, help="at most so many of each video or camera"
    )
    return parser.parse_args(arguments)
