import json
import math
from pathlib import Path
from typing import Any

import pytest
from trees import coco_tree

from detector.data.formats.coco_tree import area_of, headings, read_coco_json, sorted_categories
from detector.errors import DataError


def change(path: list[Any], value: Any) -> dict[str, Any]:
    tree = coco_tree()
    *parents, last = path
    place: Any = tree
    for key in parents:
        place = place[key]
    if value is None:
        del place[last]
    else:
        place[last] = value
    return tree


@pytest.mark.parametrize(
    ("path", "value", "message"),
    [
        (["images"], None, "images must be a list of objects, got nothing beside 'categories', 'annotations' ("),
        (["categories"], {}, "categories must be a list of objects, got dict"),
        (["annotations", 0], 3, "annotations[0] must be an object, got 3"),
        (["images", 1, "id"], 12, "images[1].id must be a whole number of its own, of at most 18 digits, got 12"),
        (
            ["images", 1, "id"],
            "12",
            "images[1].id must be a whole number of its own, of at most 18 digits, got '12'",
        ),
        (
            ["images", 1, "id"],
            True,
            "images[1].id must be a whole number of its own, of at most 18 digits, got True",
        ),
        (["images", 1, "file_name"], 5, "images[1].file_name must be the name of a file, got 5"),
        (["images", 1, "width"], "60", "images[1].width must be a whole number of pixels up to 1e9, got '60'"),
        (
            ["categories", 0, "id"],
            3,
            "categories[1].id must be a whole number of its own, of at most 18 digits, got 3",
        ),
        (
            ["categories", 0, "name"],
            None,
            "categories[0].name must be 1 to 200 printable characters in one line, got None",
        ),
        (
            ["annotations", 0, "bbox"],
            [1, 2, 3],
            "annotations[0].bbox must be four finite numbers x, y, width, height of at most 1e9, got [1, 2, 3]",
        ),
        (
            ["annotations", 0, "bbox"],
            None,
            "annotations[0].bbox must be four finite numbers x, y, width, height of at most 1e9, got None",
        ),
        (
            ["annotations", 0, "bbox", 2],
            math.nan,
            "annotations[0].bbox must be four finite numbers x, y, width, height of at most 1e9, got [1.5, 2, nan",
        ),
        (["annotations", 0, "bbox", 2], math.inf, "annotations[0].bbox must be four finite numbers"),
        (["annotations", 0, "bbox", 2], "3", "annotations[0].bbox must be four finite numbers"),
        (["annotations", 0, "image_id"], 99, "annotations[0].image_id must be the id of an image, got 99"),
        (["annotations", 0, "image_id"], [12], "annotations[0].image_id must be the id of an image, got [12]"),
        (["annotations", 0, "category_id"], 1, "annotations[0].category_id must be the id of a category, got 1"),
        (["annotations", 0, "area"], "big", "annotations[0].area must be a number of pixels from 0, got 'big'"),
        (
            ["images", 0, "id"],
            10**18,
            "images[0].id must be a whole number of its own, of at most 18 digits, got 1000",
        ),
        (
            ["images", 0, "id"],
            12.0,
            "images[0].id must be a whole number of its own, of at most 18 digits, got 12.0",
        ),
        (["images", 0, "height"], 120.5, "images[0].height must be a whole number of pixels up to 1e9, got 120.5"),
        (["images", 0, "height"], -1, "images[0].height must be a whole number of pixels up to 1e9, got -1"),
        (["images", 0, "height"], 2**63, "images[0].height must be a whole number of pixels up to 1e9, got 9223"),
        (["images", 0, "height"], True, "images[0].height must be a whole number of pixels up to 1e9, got True"),
        (
            ["images", 0, "height"],
            math.nan,
            "images[0].height must be a whole number of pixels up to 1e9, got nan",
        ),
        (["images", 0, "file_name"], None, "images[0].file_name must be the name of a file, got None"),
        (["images", 0, "file_name"], "", "images[0].file_name must be the name of a file, got ''"),
        (
            ["images", 0, "file_name"],
            "a\n.jpg",
            r"images[0].file_name must be the name of a file in one printable line",
        ),
        (["images", 0, "file_name"], "a\0.jpg", r"got 'a\x00.jpg'"),
        (
            ["categories", 0, "name"],
            "do\ng",
            r"categories[0].name must be 1 to 200 printable characters in one line",
        ),
        (
            ["categories", 0, "name"],
            " ",
            "categories[0].name must be 1 to 200 printable characters in one line, got ' '",
        ),
        (
            ["categories", 0, "name"],
            "cat ",
            "categories[1].name must differ from that of categories[0], got 'cat' in",
        ),
        (
            ["annotations", 0, "bbox", 0],
            1e308,
            "annotations[0].bbox must be four finite numbers x, y, width, height of",
        ),
        (
            ["annotations", 0, "bbox", 0],
            10**400,
            "annotations[0].bbox must be four finite numbers x, y, width, height",
        ),
        (
            ["annotations", 0, "bbox", 0],
            True,
            "annotations[0].bbox must be four finite numbers x, y, width, height of",
        ),
        (["annotations", 0, "area"], -1, "annotations[0].area must be a number of pixels from 0, got -1"),
        (["annotations", 0, "area"], math.nan, "annotations[0].area must be a number of pixels from 0, got nan"),
        (["annotations", 0, "area"], True, "annotations[0].area must be a number of pixels from 0, got True"),
        (["annotations", 0, "iscrowd"], "1", "annotations[0].iscrowd must be 0 or 1, got '1'"),
        (["annotations", 0, "image_id"], "12", "annotations[0].image_id must be the id of an image, got '12'"),
        (["images", 0, "id"], "b", "images[1].id must be a text of its own as the first is, of 1 to 200"),
        (["images", 0, "id"], "b\n", "images[0].id must be a text of its own as the first is, of 1 to 200"),
        (["annotations", 0, "image_id"], True, "annotations[0].image_id must be the id of an image, got True"),
        (["annotations", 0, "iscrowd"], 2, "annotations[0].iscrowd must be 0 or 1, got 2"),
    ],
)
def test_wrong_entry_of_a_coco_json_is_named(tmp_path: Path, path: list[Any], value: Any, message: str) -> None:
    file = tmp_path / "x.json"
    file.write_text(json.dumps(change(path, value)))
    with pytest.raises(DataError) as caught:
        read_coco_json(file)
    assert message in str(caught.value)
    assert str(file) in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("content", [b"", b'{"images": [', b"\xff\xfe", b"[" * 100_000])
def test_file_that_is_no_json_is_named(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "x.json").write_bytes(content)
    with pytest.raises(DataError, match=r"^COCO JSON must be .*x\.json"):
        read_coco_json(tmp_path / "x.json")


def test_json_that_is_missing_or_no_object_is_named(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"readable file, got .*x\.json \(No such"):
        read_coco_json(tmp_path / "x.json")
    (tmp_path / "x.json").write_text("[1]")
    with pytest.raises(DataError, match=r"must be an object, got list \(.*x\.json\)"):
        read_coco_json(tmp_path / "x.json")


def read(path: Path, tree: dict[str, Any]) -> dict[str, Any]:
    path.write_text(json.dumps(tree))
    return read_coco_json(path)


def test_annotations_need_no_ids(tmp_path: Path) -> None:
    tree = coco_tree()
    tree["annotations"][0]["id"] = None
    assert len(read(tmp_path / "x.json", tree)["annotations"]) == 2
    for entry in tree["annotations"]:
        entry["id"] = 7
    assert len(read(tmp_path / "x.json", tree)["annotations"]) == 2
    for entry in tree["annotations"]:
        del entry["id"]
    assert len(read(tmp_path / "x.json", tree)["annotations"]) == 2


@pytest.mark.parametrize(
    ("stated", "crowd"), [(True, 1), (False, 0), (None, 0), (1, 1), (0, 0)], ids=lambda value: str(value)
)
def test_a_crowd_may_be_stated_as_true_or_not_at_all(tmp_path: Path, stated: object, crowd: int) -> None:
    tree = coco_tree()
    tree["annotations"][0]["iscrowd"] = stated
    entry = read(tmp_path / "x.json", tree)["annotations"][0]
    assert (entry["iscrowd"], type(entry["iscrowd"])) == (crowd, int)


def test_null_counts_as_not_stated(tmp_path: Path) -> None:
    tree = coco_tree()
    tree["images"][0].update(width=None, height=None)
    tree["annotations"][0]["area"] = None
    read_tree = read(tmp_path / "x.json", tree)
    assert (read_tree["images"][0]["width"], read_tree["images"][0]["height"]) == (0, 0)
    assert area_of(read_tree["annotations"][0]) == 10 * 20.25


def test_ids_of_images_may_be_text(tmp_path: Path) -> None:
    tree = coco_tree()
    tree["images"][0]["id"], tree["images"][1]["id"] = "b 1", "a"
    for entry in tree["annotations"]:
        entry["image_id"] = "b 1"
    assert [image["id"] for image in read(tmp_path / "x.json", tree)["images"]] == ["b 1", "a"]
    tree["images"][1]["id"] = "b 1"
    with pytest.raises(DataError, match=r"images\[1\]\.id must be a text of its own .* got 'b 1'"):
        read(tmp_path / "x.json", tree)


def categories(*names: tuple[str, str | None]) -> list[dict[str, Any]]:
    return [{"id": number, "name": name, "supercategory": head} for number, (name, head) in enumerate(names)]


def annotated(number: int) -> list[dict[str, Any]]:
    return [{"image_id": 12, "category_id": number, "bbox": [1, 2, 3, 4]}]


def test_a_heading_called_as_its_class_is_left_out(tmp_path: Path) -> None:
    tree = {**coco_tree(), "categories": categories(("raccoon", "none"), ("raccoon", "raccoon"))}
    tree["annotations"] = annotated(1)
    assert sorted_categories(read(tmp_path / "x.json", tree)) == {1: "raccoon"}
    tree["annotations"] = []
    assert sorted_categories(read(tmp_path / "x.json", tree)) == {1: "raccoon"}
    tree["annotations"] = annotated(0) + annotated(1)
    with pytest.raises(DataError, match=r"categories\[1\]\.name must differ from that of categories\[0\]"):
        read(tmp_path / "x.json", tree)


def test_a_heading_is_what_no_annotation_uses_and_another_names_above_itself() -> None:
    tree = {"categories": categories(("fruit", "none"), ("apple", "fruit"), ("pear", None), ("person", "person"))}
    assert headings({**tree, "annotations": annotated(1)}) == {0}
    assert headings({**tree, "annotations": annotated(0)}) == set()
    assert headings({**tree, "annotations": []}) == {0}


@pytest.mark.parametrize("count", [9, 10, 3000])
def test_boxes_that_are_stated_by_corners_are_told(count: int, tmp_path: Path) -> None:
    tree = coco_tree()
    box = {"image_id": 12, "category_id": 3, "bbox": [25, 15, 50, 30]}
    tree["annotations"] = [{**box, "id": number} for number in range(count)]
    path = tmp_path / "instances.json"
    path.write_text(json.dumps(tree))
    if count < 10:  # of so few it may be chance
        assert len(read_coco_json(path)["annotations"]) == count
        return
    with pytest.raises(
        DataError, match=r"boxes must be \[x, y, width, height\], got .* 100% .*: are these two corners"
    ):
        read_coco_json(path)


def test_boxes_that_reach_beyond_their_image_and_are_no_corners_stay(tmp_path: Path) -> None:
    tree = coco_tree()
    box = {"image_id": 12, "category_id": 3, "bbox": [25, 15, 50, 14]}
    tree["annotations"] = [{**box, "id": number} for number in range(20)]
    path = tmp_path / "instances.json"
    path.write_text(json.dumps(tree))
    assert len(read_coco_json(path)["annotations"]) == 20
