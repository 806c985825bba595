"""What a format of data sets is: one reader of its files, and what else is its own.

A reader states what the files say, whatever is wrong with it; `settle` stops at what is wrong or repairs it, and a
check tells all of it.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from detector.config import DataSettings
from detector.data.classes import ClassList, class_list
from detector.data.dataset import split_name
from detector.records import Array, Bool, Float64, Int64


@dataclass(frozen=True, eq=False)
class RawSplit:
    """The n images of a split and their objects as the files state them: nothing left out, clipped or scaled.

    ids and paths (n,) str; sources (n,) str name the annotation of each image in messages; stated (n, 2) i64
    height, width, 0 where none is stated. Objects rise by image (G,) i64: names (G,) str, boxes (G, 4) f64 in
    continuous pixels of the stated size, difficult and crowd (G,) bool, areas (G,) f64 where the files state them.
    `note` says in a line what was read.

    `relative` says that the boxes are shares of the image's sides, whatever these are: `stated` is then 1 x 1.

    What is None is as in most data: indices (n,) are 1..n, every image is complete for every class (`Dataset`),
    nothing is blacklisted, classes have no numbers of their own (`categories`: COCO's ids by name), and lists call
    an image by its id (`listed` (n,) str: otherwise).

    `text_ids` says that the ids are text in the file, whatever they look like.

    `missing` are messages about listed images without annotation, which are not among the n; `errors` about
    annotations that cannot be read, whose images have no objects here; `remarks` the images (or files) that
    something else is to be said of. `title` is the name, of a list file without its folder and suffix.
    """

    name: str
    note: str
    ids: Array
    paths: Array
    sources: Array
    stated: Int64
    image: Int64
    names: Array
    boxes: Float64
    difficult: Bool
    crowd: Bool
    areas: Float64 | None = None
    indices: Int64 | None = None
    complete: Bool | None = None
    blacklist: Int64 | None = None
    categories: Mapping[str, int] | None = None
    listed: Array | None = None
    relative: bool = False
    text_ids: bool = False
    missing: tuple[str, ...] = ()
    errors: tuple[str, ...] = ()
    remarks: Mapping[str, Sequence[str]] = field(default_factory=dict)
    title: str = ""

    def __post_init__(self) -> None:
        if not self.title:
            object.__setattr__(self, "title", split_name(self.name))

    def __len__(self) -> int:
        return len(self.ids)


def classes_of_names(names: tuple[str, ...]) -> ClassList:
    """The classes that `data.classes` names, in that order."""
    return class_list(names, (), "data.classes")


@dataclass(frozen=True, eq=False)
class FoundData:
    """What a format has found in a folder, and how its reader is to be asked for it.

    `splits` are the names of splits by what they are for, of `split_roles.ROLES`; `whole` is the split of all
    images where the folder has none for training, None where it cannot be asked for. `annotations` are the files
    that were found, of which `layout` says how they lie. `beside` are further settings of data that go with it.
    `further` are the names of splits that are no role's first, such as train_2 beside train_1.
    """

    root: Path
    layout: str
    annotations: frozenset[str]
    splits: Mapping[str, str]
    whole: str | None = None
    beside: Mapping[str, str] = field(default_factory=dict)
    further: tuple[str, ...] = ()


@dataclass(frozen=True)
class Format:
    """A format of data sets, as the module that `detector.choices.FORMATS` names has it in `FORMAT`.

    `read` reads a split; the classes are None while they are still to be found in the annotations. DataError where
    folders, lists or a JSON are missing or wrong: nothing more can be said then. `terms` is the model card's
    sentence about what may be done with the data.

    `find` looks whether a folder holds such data, and in which splits; None where it does not. `protocol` is the
    evaluation's that suits the format's usual data.

    `classes` are those of data whose settings name none; without it, or where it answers None, they are the names
    in the training splits, sorted. `named` are those that the settings name. `listed_by_class` is the split whose
    images are listed by class, which `data.train_positives` draws from, and `list_folder` finds the folder of the
    lists that splits are made of.
    """

    read: Callable[[DataSettings, str, ClassList | None], RawSplit]
    terms: str
    find: Callable[[Path], FoundData | None] | None = None
    protocol: str = "voc2010"
    classes: Callable[[DataSettings], ClassList | None] | None = None
    named: Callable[[tuple[str, ...]], ClassList] = classes_of_names
    listed_by_class: str | None = None
    list_folder: Callable[[Path], Path] | None = None
