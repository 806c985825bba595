"""ImageNet's 1,000 classes in WordNet's hierarchy: which of them lie under a synset, or under a name.

The packaged file `imagenet_synsets.csv` has the classes of ILSVRC's classification task in their order, which is
that of published networks' outputs, and every synset above them, with WordNet's names of each. It was made from
WordNet 3.0 by `docs/make_synsets.py`; WordNet's licence is beside it. A WNID is n and the offset of the synset in
WordNet 3.0, eight digits.
"""

import csv
import difflib
import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache, cached_property

from detector.data.classes import ClassList, class_name, ilsvrc_det_classes, packaged_text
from detector.errors import DataError
from detector.records import BACKGROUND, FIRST_LABEL
from detector.text import shown

FILE = "imagenet_synsets.csv"
HEADER = ("wnid", "class", "above", "names")
SEPARATOR = "|"  # between several in a cell
NAME_MARK = "#"  # before the rank of a sense among those of its name, from 1, the most used
UNUSED = 1_000_000  # rank of a sense that WordNet's texts do not have


@dataclass(frozen=True)
class SynsetName:
    """A name of a synset, and the rank of this sense of it by how often it is used; `UNUSED` where unknown."""

    text: str
    rank: int


@dataclass(frozen=True)
class Hierarchy:
    """Synsets by their WNIDs: `classes` in their order, and all above them.

    `above` are the synsets right above each; one may be several's, and have several.
    """

    classes: tuple[str, ...]
    above: Mapping[str, tuple[str, ...]]
    names: Mapping[str, tuple[SynsetName, ...]]

    def steps_up(self, wnid: str) -> dict[str, int]:
        """`wnid` and all synsets above it, with the least number of steps to each."""
        found, waiting = {wnid: 0}, [wnid]
        for each in waiting:
            for parent in self.above[each]:
                if parent not in found:
                    found[parent] = found[each] + 1
                    waiting.append(parent)
        return found

    def find(self, word: str) -> str:
        """The WNID of the synset that `word` means: a WNID or a name, whose letters and digits alone count.

        Of a name's senses it is the most used, as far as WordNet's texts have them; of others the one that all
        lie under. Names that have none or several such are ILSVRC-DET's, where it has them. DataError for any
        other word.
        """
        if word in self.above:
            return word
        senses = self._senses.get(name_key(word), {})
        used = [wnid for wnid, rank in senses.items() if rank == min(senses.values()) < UNUSED]
        meant = used or [wnid for wnid in senses if not (self.steps_up(wnid).keys() - {wnid}) & senses.keys()]
        if len(meant) == 1:
            return meant[0]
        if name_key(word) in _names_of_ilsvrc_det():
            return _names_of_ilsvrc_det()[name_key(word)]
        if meant:
            several = " or ".join(map(self.described, sorted(meant)))
            raise DataError(f"class must be one synset's, got {shown(word)}, which may mean {several}")
        near = difflib.get_close_matches(name_key(word), list(self._senses), n=1)
        hint = f"; did you mean {shown(self._spelling(near[0]))}?" if near else ""
        raise DataError(f"class must be among ImageNet's 1,000 or above some of them, got {shown(word)}{hint}")

    def described(self, wnid: str) -> str:
        """A WNID with the name of what is right above it: what kind of thing it is."""
        kind = self.names[next(iter(self.above[wnid]), wnid)][0].text
        return f"{wnid} ({kind})"

    def labels(self, wnids: Sequence[str]) -> tuple[int, ...]:
        """Under which of `wnids`, 1..C, each class lies (1000), 0 where under none.

        Of several it is the nearest: one that lies under another goes before it, then fewer steps count, then the
        order. DataError for a synset that is left without classes.
        """
        order = {wnid: label for label, wnid in enumerate(wnids, FIRST_LABEL)}
        labels = tuple(self._label(each, order) for each in self.classes)
        for wnid, label in order.items():
            if label not in labels:
                name = self.names[wnid][0].text
                raise DataError(
                    f"class must have some of ImageNet's 1,000 to itself, got {wnid} ({name}), all of whose are "
                    "nearer to others"
                )
        return labels

    def _label(self, wnid: str, order: Mapping[str, int]) -> int:
        steps = self.steps_up(wnid)
        asked = steps.keys() & order.keys()
        passed = {above for each in asked for above in self.steps_up(each) if above != each}
        nearest = min(asked - passed, key=lambda each: (steps[each], order[each]), default=None)
        return BACKGROUND if nearest is None else order[nearest]

    def _spelling(self, key: str) -> str:
        """How a name is written."""
        (wnid, *_) = self._senses[key]
        return next(name.text for name in self.names[wnid] if name_key(name.text) == key)

    @cached_property
    def _senses(self) -> dict[str, dict[str, int]]:
        """The synsets of each name, by its key, with the sense's rank."""
        found: dict[str, dict[str, int]] = {}
        for wnid, names in self.names.items():
            for name in names:
                senses = found.setdefault(name_key(name.text), {})
                senses[wnid] = min(senses.get(wnid, UNUSED), name.rank)
        return found


@cache
def imagenet_synsets() -> Hierarchy:
    """The hierarchy above ImageNet's 1,000 classes."""
    classes: dict[int, str] = {}
    above, names = {}, {}
    for row in csv.DictReader(io.StringIO(packaged_text(FILE))):
        wnid, place = row["wnid"], row["class"]
        if place:
            classes[int(place)] = wnid
        above[wnid] = tuple(row["above"].split(SEPARATOR)) if row["above"] else ()
        names[wnid] = tuple(map(_name, row["names"].split(SEPARATOR)))
    return Hierarchy(tuple(classes[place] for place in range(len(classes))), above, names)


def find_classes(words: Sequence[str]) -> ClassList:
    """Classes called `words`, each a WNID or a name, with their WNIDs; DataError as for `Hierarchy.find`."""
    found: dict[str, str] = {}
    for word in words:
        name = class_name(word, "class name", "classes")
        wnid = imagenet_synsets().find(name)
        if wnid in found:
            raise DataError(
                f"classes must be different ones, got {shown(found[wnid])} and {shown(name)} for {wnid}"
            )
        found[wnid] = name
    return ClassList(tuple(found.values()), tuple(found))


def synset_labels(classes: ClassList) -> tuple[int, ...]:
    """Which of `classes` each of ImageNet's 1,000 is, as `Hierarchy.labels`.

    The classes are looked up by their WNIDs, of a list without any by their names.
    """
    hierarchy = imagenet_synsets()
    for wnid, name in zip(classes.wnids, classes.names, strict=False):
        if wnid not in hierarchy.above:
            raise DataError(f"class must be among ImageNet's 1,000 or above some of them, got {wnid} ({name})")
    return hierarchy.labels(classes.wnids or find_classes(classes.names).wnids)


def matched_classes(names: Sequence[str], classes: ClassList) -> list[int | None]:
    """The label of each of `names` in `classes`, None where it is none of them; no label comes twice.

    A name is a class's as it stands, or is its WNID; else by letters and digits alone; else as another name of its
    synset in WordNet.
    """
    found: dict[str, int] = {}
    keys = {name_key(name): label for label, name in reversed(list(enumerate(classes.names, FIRST_LABEL)))}
    for label_of in (classes.label, lambda name: keys.get(name_key(name)), lambda name: _label_of(name, classes)):
        for name in names:
            label = None if name in found else label_of(name)
            if label is not None and label not in found.values():
                found[name] = label
    return [found.get(name) for name in names]


def _label_of(name: str, classes: ClassList) -> int | None:
    """The label of the class whose WNID is that of what `name` means."""
    try:
        return classes.label(imagenet_synsets().find(name))
    except DataError:
        return None


def name_key(name: str) -> str:
    """What names are compared by: their letters and digits, in lower case."""
    return "".join(filter(str.isalnum, name.casefold()))


@cache
def _names_of_ilsvrc_det() -> dict[str, str]:
    """The WNIDs of ILSVRC-DET's classes by their names' keys."""
    classes = ilsvrc_det_classes()
    return {name_key(name): wnid for name, wnid in zip(classes.names, classes.wnids, strict=True)}


def _name(text: str) -> SynsetName:
    name, _, rank = text.partition(NAME_MARK)
    return SynsetName(name, int(rank) if rank else UNUSED)
