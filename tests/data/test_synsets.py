import sys
from collections import Counter
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path

import pytest

from detector.data.classes import ClassList, ilsvrc_det_classes, packaged_text
from detector.data.synsets import (
    FILE,
    Hierarchy,
    SynsetName,
    find_classes,
    imagenet_synsets,
    matched_classes,
    synset_labels,
)
from detector.errors import DataError
from detector.files import read_text

ROOT = Path(__file__).parents[2]
WORDNET = Path("/usr/share/wordnet")  # of Debian's package wordnet-base

#      food    plant
#        \   /    \
#  toy   fruit    tree
#         |  \
#       apple orange
ABOVE = {
    "n1": (),
    "n2": (),
    "n3": (),
    "n10": ("n1", "n2"),
    "n11": ("n2",),
    "n100": ("n10",),
    "n101": ("n10",),
    "n102": ("n3",),
    "n103": ("n11",),
}
NAMES = {
    "n1": ("food", 1),
    "n2": ("plant", 1),
    "n3": ("toy", 1),
    "n10": ("fruit", 2),
    "n11": ("tree", 1),
    "n100": ("apple", 1),
    "n101": ("sweet orange", 1),
    "n102": ("ball", 2),
    "n103": ("ball", 3),
}


def ranked(name: str, rank: int) -> tuple[SynsetName, ...]:
    return (SynsetName(name, rank),)


SMALL = Hierarchy(("n100", "n101", "n102", "n103"), ABOVE, {wnid: ranked(*name) for wnid, name in NAMES.items()})


def brute_ancestors(wnid: str) -> set[str]:
    """A synset and all above it, by asking again and again."""
    found = {wnid}
    while True:
        more = found | {parent for each in found for parent in imagenet_synsets().above[each]}
        if more == found:
            return found
        found = more


def test_steps_up_are_the_fewest() -> None:
    assert SMALL.steps_up("n100") == {"n100": 0, "n10": 1, "n1": 2, "n2": 2}


def test_a_class_goes_to_the_synset_it_lies_under() -> None:
    assert SMALL.labels(["n10", "n3"]) == (1, 1, 2, 0)
    assert SMALL.labels(["n2"]) == (1, 1, 0, 1)


def test_of_two_synsets_the_lower_gets_a_class() -> None:
    assert SMALL.labels(["n2", "n100"]) == (2, 1, 0, 1)
    assert SMALL.labels(["n100", "n2"]) == (1, 2, 0, 2)


def test_of_two_synsets_as_near_the_first_gets_a_class() -> None:
    assert SMALL.labels(["n1", "n2"]) == (1, 1, 0, 2)
    with pytest.raises(DataError, match="got n1"):
        SMALL.labels(["n2", "n1"])


def test_a_synset_that_is_left_without_a_class_is_named() -> None:
    with pytest.raises(DataError, match=r"1,000 to itself, got n10 \(fruit\), all of whose are nearer to others"):
        SMALL.labels(["n10", "n100", "n101"])


def test_names_are_compared_by_letters_and_digits() -> None:
    for word in ("sweet orange", "Sweet_Orange", "sweet-orange", "SWEETORANGE", "n101"):
        assert SMALL.find(word) == "n101"


def test_a_name_means_its_most_used_sense() -> None:
    assert SMALL.find("ball") == "n102"


def test_of_senses_that_are_not_ranked_one_must_be_above_the_others() -> None:
    names = {wnid: ranked(name, 1_000_000) for wnid, (name, _) in NAMES.items()}
    unranked = Hierarchy(SMALL.classes, ABOVE, names | {"n10": ranked("apple", 1_000_000)})
    assert unranked.find("apple") == "n10"
    with pytest.raises(
        DataError, match=r"one synset's, got 'ball', which may mean n102 \(toy\) or n103 \(tree\)$"
    ):
        unranked.find("ball")


@pytest.mark.parametrize(
    ("word", "message"),
    [
        (
            "crane",
            r"one synset's, got 'crane', which may mean n02012849 \(wading bird\) or n03126707 \(lifting device",
        ),
        ("bannana", "among ImageNet's 1,000 or above some of them, got 'bannana'; did you mean 'banana'?"),
        ("fire hydrant", "among ImageNet's 1,000 or above some of them, got 'fire hydrant'"),
        ("", "class name must be 1 to 200 printable characters"),
    ],
)
def test_a_name_that_means_nothing_or_two_things_is_told(word: str, message: str) -> None:
    with pytest.raises(DataError, match=message):
        find_classes([word])


def test_two_names_of_a_synset_are_refused() -> None:
    with pytest.raises(DataError, match="classes must be different ones, got 'car' and 'auto' for n02958343"):
        find_classes(["car", "auto"])


def test_everyday_names_mean_what_photographs_show() -> None:
    found = {
        "car": "n02958343",
        "dog": "n02084071",
        "apple": "n07739125",
        "traffic light": "n06874185",
        "aeroplane": "n02691156",
        "tv or monitor": "n03211117",  # ILSVRC-DET's name alone
        "helmet": "n03513137",  # WordNet has two, and ILSVRC-DET one
    }
    assert find_classes(list(found)).wnids == tuple(found.values())


def test_the_classes_of_ilsvrc_det_have_483_of_the_1000() -> None:
    classes = ilsvrc_det_classes()
    labels = synset_labels(classes)
    counts = Counter(labels)
    assert (len(labels), counts[0], sum(counts.values()) - counts[0]) == (1000, 517, 483)
    assert set(counts) == set(range(201))
    assert sum(classes.name(label) == "dog" for label in labels if label) == 118
    for wnid, label in zip(imagenet_synsets().classes, labels, strict=True):
        above = [classes.label(each) for each in brute_ancestors(wnid) & set(classes.wnids)]
        assert above == ([label] if label else [])  # none under two


def test_a_list_without_wnids_is_looked_up_by_its_names() -> None:
    classes = ClassList(("apple", "banana", "orange"))
    labels = synset_labels(classes)
    hierarchy = imagenet_synsets()
    assert {hierarchy.classes[at]: label for at, label in enumerate(labels) if label} == {
        "n07742313": 1,  # Granny Smith
        "n07753592": 2,
        "n07747607": 3,
    }


def test_a_wnid_that_is_not_in_the_hierarchy_is_named() -> None:
    with pytest.raises(DataError, match=r"got n00000001 \(nothing\)"):
        synset_labels(ClassList(("nothing",), ("n00000001",)))


def test_names_of_others_are_matched_from_the_letters_to_the_synset() -> None:
    classes = ClassList(
        ("airplane", "traffic light", "hotdog", "sofa", "tie"),
        ("n02691156", "n06874185", "n07697537", "n04256520", "n04591157"),
    )
    names = ("Traffic_Light", "n02691156", "hot dog", "couch", "tie", "kettle", "crane")
    assert matched_classes(names, classes) == [2, 1, 3, 4, 5, None, None]


def test_no_class_is_matched_twice_and_its_own_name_goes_first() -> None:
    classes = ClassList(("hot dog", "dog"))
    assert matched_classes(("Hot-Dog", "hot dog", "DOG"), classes) == [None, 1, 2]
    assert matched_classes(("Hot-Dog", "hot_dog"), classes) == [1, None]
    plane = ClassList(("airplane",), ("n02691156",))
    assert matched_classes(("aeroplane", "n02691156"), plane) == [None, 1]


@pytest.fixture
def maker() -> Iterator[object]:
    """The script that makes the file."""
    sys.path.insert(0, str(ROOT / "docs"))
    yield import_module("make_synsets")
    sys.path.remove(str(ROOT / "docs"))


@pytest.mark.skipif(not (WORDNET / "data.noun").is_file(), reason="WordNet is not installed")
def test_the_file_is_what_wordnet_says(maker: object) -> None:
    table = maker.synset_table(WORDNET, imagenet_synsets().classes)  # type: ignore[attr-defined]
    assert table == packaged_text(FILE)


@pytest.mark.shared
def test_the_1000_classes_are_in_the_published_order(shared: Path) -> None:
    lines = read_text(shared / "data" / "ilsvrc_det_lists" / "cls_synset_words.txt", "list").splitlines()
    assert imagenet_synsets().classes == tuple(line.split()[0] for line in lines)
    for line in lines:  # and by the names that are published with them
        wnid, _, names = line.partition(" ")
        assert tuple(name.text for name in imagenet_synsets().names[wnid]) == tuple(names.split(", ")), line
