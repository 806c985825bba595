"""What the splits of a data set are for, by the many names that people and tools give them."""

import re
from collections.abc import Iterable, Iterator

ROLES = ("train", "val", "test")
# trainval is train where there is no other
NAMES = {
    "train": ("train", "training", "trainval"),
    "val": ("val", "valid", "validation", "dev"),
    "test": ("test", "testing"),
}
ROLE_OF = {name: role for role, names in NAMES.items() for name in names}
# words that stand beside the name and say nothing
FILLERS = re.compile("annotations?|coco|data(set)?|images?|imgs?|instances|labels?|list|obj|set|split")


def role_of(name: str) -> str | None:
    """The role in `ROLES` that a folder, a list or a JSON called `name` has, None for another name.

    What is no letter does not count, such as the year in train2017, and neither do `FILLERS`; of any further word
    the name is another: aeroplane_train is the list of a class.
    """
    words = [word for word in re.findall("[a-z]+", name.lower()) if not FILLERS.fullmatch(word)]
    return ROLE_OF.get(words[0]) if len(words) == 1 else None


def splits_by_role(names: Iterable[tuple[str, str]]) -> dict[str, str]:
    """Of splits (what the reader calls it, the name that tells the role) the first of each role.

    Shorter names come first, so that train goes before trainval.
    """
    found: dict[str, str] = {}
    for role, split in _with_roles(names):
        found.setdefault(role, split)
    return {role: found[role] for role in ROLES if role in found}


def further_splits(names: Iterable[tuple[str, str]]) -> tuple[str, ...]:
    """Of splits, as those of `splits_by_role`, all that are not the first of their role."""
    known = list(names)
    first = set(splits_by_role(known).values())
    return tuple(dict.fromkeys(split for _, split in _with_roles(known) if split not in first))


def _with_roles(names: Iterable[tuple[str, str]]) -> Iterator[tuple[str, str]]:
    """The roles and the splits that have one, those of shorter names first."""
    for split, name in sorted(names, key=lambda each: (len(each[1]), each[1])):
        role = role_of(name)
        if role:
            yield role, split


def of_other_splits(one: str, other: str) -> bool:
    """Whether two paths lead through folders that are called as splits are, and not as any of the same role."""
    roles = [{role for part in path.split("/")[:-1] if (role := role_of(part))} for path in (one, other)]
    return all(roles) and roles[0].isdisjoint(roles[1])
