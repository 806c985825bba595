"""Write detector/data/imagenet_synsets.csv from WordNet: `python docs/make_synsets.py /usr/share/wordnet`.

The folder is that of WordNet 3.0's database files, `data.noun` and `index.noun` (wndb(5WN)): on Debian those of
the package wordnet-base. Which synsets are ImageNet's 1,000 classes is kept from the file that is there.
"""

import csv
import io
import sys
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from detector.data.synsets import HEADER, NAME_MARK, SEPARATOR, imagenet_synsets
from detector.files import read_text, write_text

TARGET = Path(__file__).parents[1] / "detector" / "data" / "imagenet_synsets.csv"
ABOVE = ("@", "@i")  # the pointers to hypernyms, of kinds and of instances


@dataclass(frozen=True)
class Noun:
    """A synset: the ids of those right above it, and its names, with blanks between their words."""

    above: tuple[str, ...]
    names: tuple[str, ...]


def main() -> None:
    """Write the file anew; the argument is WordNet's folder."""
    (folder,) = sys.argv[1:]
    write_text(TARGET, synset_table(Path(folder), imagenet_synsets().classes))


def synset_table(wordnet: Path, classes: Iterable[str]) -> str:
    """The CSV of the synsets `classes` in their order, then of all above them by their ids."""
    nouns, ranks = _read_nouns(wordnet / "data.noun"), _read_ranks(wordnet / "index.noun")
    places = {wnid: str(place) for place, wnid in enumerate(classes)}
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(HEADER)
    for wnid in (*places, *sorted(_all_above(nouns, places) - places.keys())):
        noun = nouns[wnid]
        names = [f"{name}{ranks.get((name.lower(), wnid), '')}" for name in noun.names]
        writer.writerow([wnid, places.get(wnid, ""), SEPARATOR.join(noun.above), SEPARATOR.join(names)])
    return text.getvalue()


def _all_above(nouns: dict[str, Noun], synsets: Iterable[str]) -> set[str]:
    """All that is above any of `synsets`."""
    found: set[str] = set()
    waiting = list(synsets)
    while waiting:
        new = set(nouns[waiting.pop()].above) - found
        found |= new
        waiting += new
    return found


def _read_nouns(path: Path) -> dict[str, Noun]:
    """All synsets of nouns by their ids: OFFSET FILE n WORDS (WORD ID)... POINTERS (SYMBOL OFFSET n WHERE)... ."""
    nouns = {}
    for line in _lines(path):
        offset, _, _, count, *rest = line.partition(" | ")[0].split()
        words, (pointers, *fields) = rest[: 2 * int(count, 16)], rest[2 * int(count, 16) :]
        places = range(0, 4 * int(pointers), 4)
        above = tuple(f"n{fields[at + 1]}" for at in places if fields[at] in ABOVE)
        nouns[f"n{offset}"] = Noun(above, tuple(word.replace("_", " ") for word in words[::2]))
    return nouns


def _read_ranks(path: Path) -> dict[tuple[str, str], str]:
    """The mark of a name's sense, #1 for the most used, of the senses that occur in WordNet's tagged texts.

    Lines read LEMMA n SENSES POINTERS SYMBOL... SENSES TAGGED OFFSET..., the senses from the most used on.
    """
    ranks = {}
    for line in _lines(path):
        lemma, _, senses, pointers, *rest = line.split()
        tagged = int(rest[int(pointers) + 1])
        offsets = rest[-int(senses) :][:tagged]
        name = lemma.replace("_", " ")
        ranks |= {(name, f"n{offset}"): f"{NAME_MARK}{rank}" for rank, offset in enumerate(offsets, 1)}
    return ranks


def _lines(path: Path) -> list[str]:
    """The lines that are no part of the licence, which begin with two blanks."""
    return [line for line in read_text(path, "WordNet").splitlines() if not line.startswith("  ")]


if __name__ == "__main__":
    main()
