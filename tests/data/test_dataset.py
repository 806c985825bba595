from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from detector.data.classes import ClassList
from detector.data.dataset import Dataset, all_complete, has_area, join_datasets, subset
from detector.errors import DataError
from detector.records import object_table


def dataset(*ids: str, name: str = "train") -> Dataset:
    """Image i has i objects, labelled i + 1, the blacklisted label i + 1, and is complete for labels to 9 - i."""
    count = len(ids)
    image = np.repeat(np.arange(count), np.arange(count))
    boxes = np.arange(10.0, 10.0 + len(image))[:, None] + np.array([0.0, 0, 20, 20])
    flags = np.zeros(len(image), np.bool_)
    return Dataset(
        name=name,
        classes=ClassList(tuple("abcdefgh")),
        image_ids=np.array(ids, np.str_),
        paths=np.array([f"/{image_id}.jpg" for image_id in ids], np.str_),
        sizes=np.stack([np.arange(count) + 40, np.arange(count) + 60], axis=1),
        objects=object_table(image, boxes, image + 1, flags, flags),
        complete=np.arange(count)[:, None] + np.arange(8) < 9,
        indices=np.arange(count) + 1,
        blacklist=np.stack([np.arange(count), np.arange(count) + 1], axis=1),
        notes=(f"{name}: a note",),
    )


def with_boxes(*boxes: tuple[float, float, float, float]) -> Dataset:
    data = dataset("x")
    count = len(boxes)
    flags = np.zeros(count, np.bool_)
    table = object_table(np.zeros(count, np.int64), np.array(boxes), np.arange(1, count + 1), flags, flags)
    return replace(data, objects=table)


def test_record_describes_an_image() -> None:
    record = dataset("x", "y").record(1)
    assert (record.image_id, str(record.path), record.height, record.width) == ("y", "/y.jpg", 41, 61)


def test_truth_is_clipped_and_without_what_is_left_too_thin() -> None:
    beyond, thin, inverted, sliver = (-5, 10, 90, 20), (5, 5, 6, 20), (20, 10, 10, 20), (59.5, 0, 80, 20)
    truth = with_boxes(beyond, thin, inverted, sliver, (70, 0, 80, 20), (5, 5, 6.5, 7)).truth(0)
    np.testing.assert_array_equal(truth.boxes, np.array([[0, 10, 60, 20], [5, 5, 6.5, 7]], np.float32))
    assert truth.labels.tolist() == [1, 6]


def test_truth_of_an_image_without_objects_is_empty() -> None:
    assert dataset("x", "y").truth(0).boxes.shape == (0, 4)


def test_objects_of_a_blacklisted_class_are_difficult_for_training_alone() -> None:
    data = with_boxes((0, 0, 20, 20), (5, 5, 30, 30), (9, 9, 30, 30.5))
    data = replace(
        data,
        blacklist=np.array([[1, 1], [0, 3], [0, 2]]),  # the first is of another image
        objects=replace(data.objects, labels=np.array([1, 2, 1]), difficult=np.array([False, False, True])),
    )
    assert data.truth(0).difficult.tolist() == [False, True, True]
    assert data.objects.difficult.tolist() == [False, False, True]


def test_images_are_exhaustive_that_are_complete_for_every_class() -> None:
    data = dataset("w", "x", "y", "z")
    assert data.exhaustive.tolist() == [True, True, False, False]
    assert replace(data, complete=all_complete(4, data.classes)).exhaustive.all()
    assert all_complete(1000, data.classes).shape == (1000, 8)
    assert all_complete(1000, data.classes).strides == (0, 0)


def test_area_needs_more_than_one_pixel_each_way() -> None:
    boxes = np.array([[0, 0, 1, 5], [0, 0, 1.1, 5], [0, 0, 5, 1], [5, 5, 0, 0]])
    assert has_area(boxes).tolist() == [False, True, False, False]
    assert has_area(np.empty((0, 4))).shape == (0,)


def test_subset_takes_along_what_belongs_to_its_images() -> None:
    part = subset(dataset("w", "x", "y", "z"), np.array([3, 1]))
    assert part.image_ids.tolist() == ["z", "x"]
    assert part.indices.tolist() == [4, 2]
    assert part.objects.image.tolist() == [0, 0, 0, 1]
    assert part.objects.labels.tolist() == [4, 4, 4, 2]
    assert part.objects.boxes[:, 0].tolist() == [13, 14, 15, 10]
    assert part.blacklist.tolist() == [[1, 2], [0, 4]]
    assert part.sizes.tolist() == [[43, 63], [41, 61]]
    assert part.complete.tolist() == [[True] * 6 + [False] * 2, [True] * 8]
    assert part.exhaustive.tolist() == [False, True]


def test_subset_by_mask_keeps_the_order_and_may_be_empty() -> None:
    data = dataset("w", "x", "y")
    assert subset(data, np.array([True, False, True])).image_ids.tolist() == ["w", "y"]
    assert len(subset(data, np.zeros(3, np.bool_)).objects.labels) == 0


def test_join_of_subsets_is_the_whole() -> None:
    data = dataset("w", "x", "y", "z")
    again = join_datasets([subset(data, np.array([0, 1])), subset(data, np.array([2, 3]))])
    for name in ("image_ids", "paths", "sizes", "complete", "indices", "blacklist"):
        np.testing.assert_array_equal(getattr(again, name), getattr(data, name))
    for name in ("image", "boxes", "labels"):
        np.testing.assert_array_equal(getattr(again.objects, name), getattr(data.objects, name))


def test_join_keeps_order_names_and_notes() -> None:
    joined = join_datasets([dataset("x", "y"), dataset("v", "w", name="val")])
    assert joined.name == "train + val"
    assert joined.notes == ("train: a note", "val: a note")
    assert joined.objects.image.tolist() == [1, 3]
    assert joined.truth(3).labels.tolist() == [2]
    assert joined.blacklist.tolist() == [[0, 1], [1, 2], [2, 1], [3, 2]]


def test_image_in_two_splits_is_refused() -> None:
    with pytest.raises(DataError, match=r"image y must be in one split only, got \['train', 'val'\]"):
        join_datasets([dataset("x", "y"), dataset("y", name="val")])


def with_files(data: Dataset, *paths: object) -> Dataset:
    return replace(data, paths=np.array([str(path) for path in paths], np.str_))


def test_ids_of_different_files_get_the_split_s_name_in_front() -> None:
    train = with_files(dataset("0", "1"), "/train/a.jpg", "/train/b.jpg")
    valid = with_files(dataset("0", "7", name="valid"), "/valid/a.jpg", "/valid/c.jpg")
    other = with_files(dataset("2", name="more"), "/more/a.jpg")
    assert join_datasets([train, valid]).image_ids.tolist() == ["train/0", "train/1", "valid/0", "valid/7"]
    joined = join_datasets([valid, other, train])
    assert joined.image_ids.tolist() == ["valid/0", "valid/7", "2", "train/0", "train/1"]
    assert joined.record(3).path == train.record(0).path
    assert join_datasets([train, other]).image_ids.tolist() == ["0", "1", "2"]


def test_ids_differ_whatever_the_splits_are_called() -> None:
    one, two = with_files(dataset("0"), "/a/0.jpg"), with_files(dataset("0"), "/b/0.jpg")
    assert join_datasets([one, two]).image_ids.tolist() == ["train-1/0", "train-2/0"]
    three = with_files(dataset("val/0", name="all"), "/c/0.jpg")
    joined = join_datasets([one, replace(two, name="val"), three])
    assert joined.image_ids.tolist() == ["train/0", "val/0", "all/val/0"]


def test_one_file_in_two_splits_is_refused_by_whatever_links(tmp_path: Path) -> None:
    for folder in ("train", "more"):
        (tmp_path / folder).mkdir()
    (tmp_path / "train/a.jpg").touch()
    (tmp_path / "valid").symlink_to(tmp_path / "train")
    (tmp_path / "more/a.jpg").symlink_to(tmp_path / "train/a.jpg")
    train = with_files(dataset("0"), tmp_path / "train/a.jpg")
    for folder in ("valid", "more"):
        other = with_files(dataset("1", name=folder), tmp_path / folder / "a.jpg")
        with pytest.raises(DataError, match=rf"image 1 must be in one split only, .*/{folder}/a\.jpg"):
            join_datasets([train, other])


def test_splits_of_other_classes_are_not_joined() -> None:
    other = replace(dataset("z", name="val"), classes=ClassList(("a",)))
    with pytest.raises(DataError, match="must share their classes"):
        join_datasets([dataset("x"), other])
