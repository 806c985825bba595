"""Detect objects in images, folders, videos or from a camera, with a trained detector."""

import argparse
import sys
from collections.abc import Iterator, Sequence
from itertools import chain, count, groupby
from pathlib import Path

import cv2
from tqdm import tqdm

from detector.commands import Parser, a_path, number_between, whole_number
from detector.data.detection_files import DetectionWriter, count_from_one, numbering_of, open_detection_files
from detector.data.frames import Frame, Source, count_frames, find_sources, is_live
from detector.errors import DataError
from detector.files import write_atomically
from detector.inference.detector import Found, ObjectDetector
from detector.pipeline.loading import load_detector
from detector.records import Image

JPEG_QUALITY = 92
SOME_UNREADABLE = 1

Item = tuple[Frame, int]  # and its position among all


def main(arguments: Sequence[str] | None = None) -> int:
    """Write results.json, detections.csv and pictures/; 1 where images could not be read and were left out."""
    options = _parse(arguments)
    sources = find_sources(options.inputs, options.every, options.frames)
    detector = load_detector(options.run, _overrides(options))
    if options.min_score is not None:
        detector.min_score = options.min_score
    task = _Task(detector, options)
    numbering = count_from_one(detector.classes)
    if options.annotations:
        numbering = numbering_of(options.annotations, detector.classes)
    with open_detection_files(options.out, detector.classes, numbering) as writer:
        try:
            task.run(sources, writer)
        except KeyboardInterrupt:
            if not any(map(is_live, sources)):
                raise
    sys.stdout.write(f"{task.detections} detections in {task.images} images: {options.out}\n")
    return SOME_UNREADABLE if task.unreadable else 0


class _Task:
    """What the command does with each image, and how much it was."""

    def __init__(self, detector: ObjectDetector, options: argparse.Namespace) -> None:
        self.detector = detector
        self.options = options
        self.images = self.detections = self.unreadable = 0

    def run(self, sources: Sequence[Source], writer: DetectionWriter) -> None:
        """Detect in all images of `sources`, one after another."""
        found = self._detect(sources)
        for each in tqdm(found, desc="detect", unit="image", total=count_frames(sources)):
            frame, position = each.item
            image_id = writer.numbering.image(frame.file, position)
            writer.add(image_id, frame.file, frame.number, each.detections)
            if not self.options.no_pictures:
                self._draw(each, frame, image_id)
            self.images += 1
            self.detections += len(each.detections.scores)

    def _detect(self, sources: Sequence[Source]) -> Iterator[Found[Item]]:
        """What is found in each image; what a camera shows is answered at once, the rest is read ahead."""
        positions = count()
        for live, group in groupby(sources, is_live):
            items = zip(chain.from_iterable(group), positions)  # noqa: B905 - positions do not end
            if live:
                for item in items:
                    yield from self.detector.stream([item], self._read)
            else:
                yield from self.detector.stream(items, self._read)

    def _read(self, item: Item) -> Image | None:
        """The pixels, None of a file that cannot be read; may run on any thread."""
        try:
            return item[0].read(self.detector.config.data.exif)
        except DataError as error:
            tqdm.write(f"left out: {error}", file=sys.stderr)
            self.unreadable += 1
            return None

    def _draw(self, found: Found[Item], frame: Frame, image_id: int) -> None:
        drawn = self.detector.draw(found.image, found.detections, self.options.min_score)
        number = "" if frame.number is None else f"_{frame.number:06d}"
        path = self.options.out / "pictures" / f"{image_id:06d}_{Path(frame.file).stem}{number}.jpg"
        _, content = cv2.imencode(".jpg", drawn[:, :, ::-1], [cv2.IMWRITE_JPEG_QUALITY, JPEG_QUALITY])
        with write_atomically(path) as temporary:
            temporary.write_bytes(content.tobytes())


def _overrides(options: argparse.Namespace) -> list[str]:
    words = [f"detect.max_per_image={options.top}"] if options.top else []
    return [*words, *options.set]


def _parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = Parser(prog="detect", description=__doc__)
    parser.add_argument("run", type=a_path, help="run folder of train_det, or its region_classifier.safetensors")
    parser.add_argument(
        "inputs", nargs="+", metavar="IMAGE|FOLDER|VIDEO|CAMERA", help="files, folders, or a camera's number"
    )
    parser.add_argument(
        "--out", type=a_path, default=Path("runs/detect"), help="folder of the results (%(default)s)"
    )
    parser.add_argument(
        "--min-score", type=number_between(0, 1), help="least score to keep and draw (kept: the run's; drawn: 0.5)"
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
    parser.add_argument(
        "--set", action="append", default=[], metavar="section.key=value", help="setting over the run's"
    )
    return parser.parse_args(arguments)
