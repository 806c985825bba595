"""Which annotation file is which image's: the one of its name, in the folder that goes with the image's.

Folders go together, the first of these that finds a file's partner:

1. images and labels: `train/images` and `train/labels`, `images/train` and `labels/train`;
2. the same folder;
3. folders that differ in words for what files they hold alone: `JPEGImages` and `Annotations`, `train_img` and
   `train_xml`, at best in the same places, else `cam1/pictures` and `cam1`;
4. folders of which one has further words, `images` and `annotations/batch 2`, unless that of the annotation goes
   with another already;
5. any others, unless either goes with another already.

Folders of different splits never go together in 4 and 5. An annotation is never two images', nor an image's two:
where no more than the names would tell, nothing is taken.
"""

import os
import re
from collections import defaultdict
from collections.abc import Callable, Hashable, Iterable, Sequence
from functools import lru_cache
from pathlib import Path

from detector.data.folders import is_below
from detector.data.formats.split_roles import of_other_splits
from detector.errors import DataError

IMAGE_FOLDERS = ("images", "jpegimages", "img", "imgs")
LABELS = "labels"
KINDS = re.compile(
    "ann(o|os|s|ots?|otations?)?|bbox(es)?|box(es)?|darknet|data(set)?|files?|gt|ima?ge?s?|jpe?g(s|images)?|labels?|obj"
    "|pascal|photo(s|graphs?)?|pics?|pictures?|pngs?|txts?|voc|xmls?|yolo"
)
Key = Callable[[str], Hashable]


class Pairs:
    """The partners among images and annotations, both paths of files; of images of one name the first counts."""

    def __init__(self, root: Path, images: Iterable[str], annotations: Iterable[str]) -> None:
        self._root = os.path.join(root, "")  # noqa: PTH118
        self._images = self._by_stem(images)
        self._annotations = self._by_stem(annotations)
        self._annotation: dict[str, str] = {}  # stems by stems
        self._image: dict[str, str] = {}
        self._doubts: dict[str, str] = {}  # messages
        self._pair_all()

    def annotation(self, image: str) -> str | None:
        """The annotation of an image; None where it has none; DataError where two could be."""
        stem = self._stem(image)
        self._refuse(stem)
        return self._annotations[self._annotation[stem]] if stem in self._annotation else None

    def image(self, annotation: str) -> str | None:
        """The image of an annotation; None where it has none; DataError where two could be."""
        stem = self._stem(annotation)
        self._refuse(_mark(stem))
        return self._images[self._image[stem]] if stem in self._image else None

    def knows(self, image: str) -> bool:
        """Whether it is among the images, whatever its suffix."""
        return self._stem(image) in self._images

    def knows_annotation(self, annotation: str) -> bool:
        """Whether it is among the annotations."""
        return self._stem(annotation) in self._annotations

    def may_be_annotated(self, image: str) -> bool:
        """Whether it has an annotation, or which of several could not be told."""
        return self._stem(image) in self._annotation or self._stem(image) in self._doubts

    def annotations(self) -> frozenset[str]:
        """Those that have an image, and those of which it could not be told."""
        return frozenset(
            path for stem, path in self._annotations.items() if stem in self._image or _mark(stem) in self._doubts
        )

    def _refuse(self, stem: str) -> None:
        if stem in self._doubts:
            raise DataError(self._doubts[stem])

    def _by_stem(self, paths: Iterable[str]) -> dict[str, str]:
        found: dict[str, str] = {}
        for path in paths:
            found.setdefault(self._stem(path), path)
        return found

    def _stem(self, path: str) -> str:
        """The path below the root without suffix; of a file elsewhere the whole path."""
        stem = os.path.splitext(path)[0]  # noqa: PTH122
        if stem.startswith(self._root):
            stem = stem[len(self._root) :]
        elif is_below(Path(stem), Path(self._root)):
            stem = os.path.relpath(stem, self._root)
        return stem.replace(os.sep, "/")

    def _pair_all(self) -> None:
        self._pair_equal(labels_of, _itself)
        self._pair_equal(_itself, _itself)
        self._pair_equal(_place, _place)
        self._pair_equal(_meaning, _meaning)
        _, taken = self._paired_folders()
        self._pair_fitting(lambda folder, other: other not in taken and _is_within(folder, other))
        used, taken = self._paired_folders()
        self._pair_fitting(lambda folder, other: folder not in used and other not in taken)

    def _pair_equal(self, of_image: Key, of_annotation: Key) -> None:
        """Pair those that have one key."""
        for images, annotations in self._groups(of_image, of_annotation):
            self._settle(images, annotations)

    def _pair_fitting(self, fit: Callable[[str, str], bool]) -> None:
        """Pair those of one name whose folders, an image's and an annotation's, fit and are of no two splits."""

        def together(image: str, other: str) -> bool:
            return fit(_folder(image), _folder(other)) and not of_other_splits(image, other)

        for images, annotations in self._groups(_name, _name):
            fitting = {image: {other for other in annotations if together(image, other)} for image in images}
            for others in fitting.values():
                rivals = [image for image in images if fitting[image] & others]
                self._settle(rivals, sorted(others))

    def _groups(self, of_image: Key, of_annotation: Key) -> Iterable[tuple[list[str], list[str]]]:
        """The images and annotations of each key that are free, of keys of annotations."""
        groups: dict[Hashable, tuple[list[str], list[str]]] = defaultdict(lambda: ([], []))
        for stem in self._annotations:
            if stem not in self._image and _mark(stem) not in self._doubts:
                groups[of_annotation(stem)][1].append(stem)
        for stem in self._images:
            if stem not in self._annotation and stem not in self._doubts and (key := of_image(stem)) in groups:
                groups[key][0].append(stem)
        return groups.values()

    def _settle(self, images: Sequence[str], annotations: Sequence[str]) -> None:
        """Pair one with one; of more, none can be told."""
        if len(images) == 1 and len(annotations) == 1:
            self._annotation[images[0]] = annotations[0]
            self._image[annotations[0]] = images[0]
        elif images and annotations:
            found = [self._images[stem] for stem in images], [self._annotations[stem] for stem in annotations]
            message = _doubt(*found)
            self._doubts |= dict.fromkeys(images, message)
            self._doubts |= {_mark(stem): message for stem in annotations}

    def _paired_folders(self) -> tuple[set[str], set[str]]:
        """The folders of images and those of annotations that have partners."""
        return {_folder(stem) for stem in self._annotation}, {_folder(stem) for stem in self._image}


def _doubt(images: Sequence[str], annotations: Sequence[str]) -> str:
    if len(images) > 1:
        return f"annotation must be of one image, got {images[0]} and {images[1]} for {annotations[0]}"
    return f"image must have one annotation, got {annotations[0]} and {annotations[1]} ({images[0]})"


def _mark(stem: str) -> str:
    """What an annotation's message is found by, where an image's is by its stem alone."""
    return f"annotation {stem}"


def labels_of(stem: str) -> str | None:
    """The path of an image's labels, in labels for the last folder called images; None without one."""
    parts = stem.split("/")
    place = next((row for row in range(len(parts) - 2, -1, -1) if parts[row].lower() in IMAGE_FOLDERS), None)
    return None if place is None else "/".join([*parts[:place], LABELS, *parts[place + 1 :]])


def _itself(stem: str) -> str:
    return stem


def _name(stem: str) -> str:
    return stem.rpartition("/")[2]


def _folder(stem: str) -> str:
    return stem.rpartition("/")[0]


def _place(stem: str) -> tuple[tuple[tuple[str, ...], ...], str]:
    """The words of each folder on the path, and the name."""
    return tuple(_words(part) for part in _folder(stem).split("/")), _name(stem)


def _meaning(stem: str) -> tuple[tuple[str, ...], str]:
    """The words of all folders on the path, and the name."""
    return _words(_folder(stem)), _name(stem)


@lru_cache(maxsize=1 << 14)
def _words(folder: str) -> tuple[str, ...]:
    """The words of a folder's path that do not say what kind of files it holds."""
    return tuple(word for word in re.findall(r"[^\W\d_]+|\d+", folder.lower()) if not KINDS.fullmatch(word))


def _is_within(one: str, other: str) -> bool:
    """Whether the words of either folder stand in the other, in order."""
    few, many = sorted((_words(one), _words(other)), key=len)
    rest = iter(many)
    return all(word in rest for word in few)
