"""What splits are called, and which of several count."""

from detector.data.formats.split_roles import further_splits, role_of, splits_by_role


def test_the_first_split_of_a_role_counts_and_the_others_are_known() -> None:
    named = [(name, name) for name in ("trainval", "train_2", "train_1", "extra", "valid", "test2017")]
    assert splits_by_role(named) == {"train": "train_1", "val": "valid", "test": "test2017"}
    assert further_splits(named) == ("train_2", "trainval")
    assert further_splits(named[:1]) == further_splits([]) == ()


def test_a_role_is_told_by_a_name_s_only_word() -> None:
    assert role_of("instances_train2017") == "train"
    assert role_of("aeroplane_train") is None
