"""Detecting the objects of any image, with the files of a trained detector."""

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from itertools import islice
from numbers import Real
from os import PathLike
from typing import Any, Generic, NamedTuple, TypeVar

import numpy as np

from detector.config import DetectSettings
from detector.data.classes import ClassList
from detector.data.images import Exif, read_image
from detector.drawing.class_boxes import draw_boxes
from detector.errors import ConfigError, DataError
from detector.evaluation.explained import Explanation
from detector.files import path_of
from detector.inference.engine import ImageScorer
from detector.inference.explaining import Explainer, NetworkViews, ObjectInput, known_objects
from detector.inference.proposer import Proposer
from detector.inference.select import select
from detector.parallel import ordered_map, worker_count
from detector.records import FIRST_LABEL, ClassScores, Detections, Float32, Image, take
from detector.text import shown

PROBABLE = 0.5  # what pictures show: the class is likelier than all else,
POSITIVE = 0.0  # or on the objects' side of its SVM
IMAGE = "image must be the path of a file or (H, W, 3) uint8 RGB"
NO_MEMORY = "image must leave memory for its regions, got none"
LARGEST_SCORE = 1e6  # of an SVM

ImageInput = Image | str | PathLike[str]  # pixels (H, W, 3) uint8 RGB, or an image file
Item = TypeVar("Item")


class NamedDetection(NamedTuple):
    """One detection in plain Python: the box is x1, y1, x2, y2 in continuous pixels."""

    name: str
    score: float
    box: tuple[float, float, float, float]


@dataclass(frozen=True, eq=False)
class Found(Generic[Item]):
    """What was detected in the image that was read for `item`."""

    item: Item
    image: Image
    detections: Detections


@dataclass(frozen=True, eq=False)
class _LoadedImage(Generic[Item]):
    """An image before the network has seen it."""

    item: Item
    image: Image
    prepared: Any  # by the proposer


class ObjectDetector:
    """Proposes regions of images, scores them and selects detections, as `test_det` does with a data set's.

    `classes` are the names of labels 1..C, `wnids` their WNIDs or (), `config` all settings, for whoever asks.
    `min_score`, under which boxes are dropped, may be set at any time: it is a probability, or with
    SVMs their score, and above 0 where NMS is soft; anything else is a ConfigError. `views` loads the networks
    that score, for `explain`.
    """

    def __init__(
        self,
        classes: ClassList,
        proposer: Proposer,
        scorer: ImageScorer,
        settings: DetectSettings,
        by_svm: bool = False,
        exif: Exif = "ignore",
        workers: int = -1,
        config: Any = None,
        views: NetworkViews | None = None,
    ) -> None:
        self.config = config
        self.views = views
        self.classes, self.wnids = classes.names, classes.wnids
        self.drawn_score = POSITIVE if by_svm else PROBABLE
        self.settings = settings
        self.min_score = settings.lowest_score(by_svm)
        self.proposer = proposer
        self.scorer = scorer
        self.exif = exif
        self.workers = worker_count(workers)

    @property
    def min_score(self) -> float:
        """The least score of a detection."""
        return self._min_score

    @min_score.setter
    def min_score(self, score: float) -> None:
        self._min_score = self.checked_score(score)

    def detect(self, image: ImageInput) -> Detections:
        """The objects of one image, best first; DataError where it cannot be read."""
        (found,) = self.detect_many([image])
        return found

    def detect_many(self, images: Iterable[ImageInput]) -> Iterator[Detections]:
        """The objects of each image, in order, as soon as they are known.

        Images are read and searched ahead on threads and share batches; memory does not grow with their number.
        DataError for a single one, whose letters or rows would pass for images.
        """
        single = isinstance(images, str | bytes | np.ndarray) and np.ndim(images) in (0, 3)
        if single or not isinstance(images, Iterable):
            raise DataError(f"images must be several paths or arrays, as in a list, got {shown(images)}")
        return (found.detections for found in self.stream(images, self.read))

    def stream(
        self,
        items: Iterable[Item],
        read: Callable[[Item], Image],
        leave_out: Callable[[Item, DataError], None] | None = None,
    ) -> Iterator[Found[Item]]:
        """As `detect_many`, of the images that `read` gives for `items`.

        With `leave_out` an image that cannot be read, or takes more memory than there is, goes there with the
        reason, and the others go on. Both functions may be called on any thread.
        """
        waiting: deque[_LoadedImage[Item]] = deque()

        def load(item: Item) -> _LoadedImage[Item] | None:
            try:
                image = read(item)
                return _LoadedImage(item, image, self.proposer.prepare(image))
            except (DataError, MemoryError) as error:
                if leave_out is None:
                    raise
                leave_out(item, error if isinstance(error, DataError) else DataError(NO_MEMORY))
            return None

        def regions() -> Iterator[tuple[Image, Float32]]:
            loaded = ordered_map(load, items, self.workers)
            for one, boxes in self._propose(one for one in loaded if one is not None):
                waiting.append(one)
                yield one.image, boxes

        def finish(scored: tuple[_LoadedImage[Item], ClassScores]) -> Found[Item]:
            one, scores = scored
            return Found(one.item, one.image, select(scores, self.min_score, self.settings))

        scored = ((waiting.popleft(), found) for found in self.scorer.score(regions()))
        yield from ordered_map(finish, scored, self.workers)

    def read(self, image: ImageInput) -> Image:
        """The pixels (H, W, 3) uint8 RGB of an image given by its path or as such; DataError for anything else."""
        if isinstance(image, str | PathLike):
            return read_image(path_of(image, IMAGE), self.exif)
        try:
            pixels = np.asarray(image)
        except (TypeError, ValueError):  # rows of several lengths, a tensor on a GPU
            raise DataError(f"{IMAGE}, got {shown(image)}") from None
        if pixels.dtype != np.uint8 or pixels.ndim != 3 or pixels.shape[2] != 3 or not pixels.size:
            raise DataError(f"image must be (H, W, 3) uint8 RGB, got {pixels.shape} {pixels.dtype}")
        return np.require(pixels, requirements=["C", "W"])  # torch takes no views and nothing read-only

    def named(self, detections: Detections) -> list[NamedDetection]:
        """The detections in plain Python, in their order; DataError for what is none of this detector's."""
        self._check(detections)
        columns = (detections.labels, detections.scores, detections.boxes)
        rows = zip(*(column.tolist() for column in columns), strict=True)
        return [NamedDetection(self.classes[label - FIRST_LABEL], score, tuple(box)) for label, score, box in rows]

    def draw(self, image: ImageInput, detections: Detections, min_score: float | None = None) -> Image:
        """The image with the detections of at least `min_score` drawn, by default those that are likely right.

        DataError for what is no image or no detections of this detector, ConfigError for what is no score.
        """
        self._check(detections)
        limit = self.drawn_score if min_score is None else self._number(min_score)
        shown = take(detections, detections.scores >= limit)
        texts = [f"{found.name} {found.score:.2f}" for found in self.named(shown)]
        return draw_boxes(self.read(image), shown.boxes, shown.labels, texts)

    def explain(
        self, image: ImageInput, objects: Iterable[ObjectInput] = (), min_score: float | None = None
    ) -> Explanation:
        """What becomes of one image step by step, and why `objects` in it are missed; see docs/explain.md.

        Detections are those of at least `min_score`, by default those that are likely right, as `draw` has them.
        DataError where the image cannot be read or an object is none; ConfigError for another score.
        """
        if self.views is None:
            raise ConfigError("detector must be one of load_detector to explain, got one without its networks")
        explainer = Explainer(self.classes, self.proposer, self.scorer, self.settings, self.views)
        least = self.checked_score(self.drawn_score if min_score is None else min_score)
        things = known_objects(objects)
        return explainer.explain(self.read(image), things, least, min(least, self.min_score))

    def checked_score(self, score: float) -> float:
        """`score`, from which on boxes can be detections; ConfigError where they cannot."""
        least = self._number(score)
        if least <= 0 and self.settings.nms != "greedy":
            raise ConfigError(f"min_score must be above 0 with detect.nms={self.settings.nms}, got {least:g}")
        return least

    def _number(self, score: float) -> float:
        low, high = (0.0, 1.0) if self.drawn_score == PROBABLE else (-LARGEST_SCORE, LARGEST_SCORE)
        if isinstance(score, bool) or not isinstance(score, Real) or not low <= score <= high:
            raise ConfigError(f"min_score must be a number in {low:g}..{high:g}, got {shown(score)}")
        return float(score)

    def _check(self, detections: Detections) -> None:
        if not isinstance(detections, Detections):
            raise DataError(f"detections must be those of a detector, got {shown(detections)}")
        last = int(detections.labels.max(initial=FIRST_LABEL))
        if last >= FIRST_LABEL + len(self.classes):
            raise DataError(f"labels must be in {FIRST_LABEL}..{len(self.classes)}, got {last}")

    def _propose(self, images: Iterable[_LoadedImage[Item]]) -> Iterator[tuple[_LoadedImage[Item], Float32]]:
        """The images with their regions (N, 4); several share a forward pass where a network proposes."""
        remaining = iter(images)
        while group := list(islice(remaining, self.proposer.group)):
            found = self.proposer.finish([one.prepared for one in group])
            for one, proposals in zip(group, found, strict=True):
                yield one, proposals.boxes
