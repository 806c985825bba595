"""Splits that must hold other images than others: which are refused, and which are told."""

from pathlib import Path

import pytest

from detector.config import Config, load_config
from detector.data.dataset import Dataset
from detector.errors import ConfigError, DataError
from detector.jobs.held_out import open_tested
from detector.jobs.network_task import network_task
from detector.jobs.train_detector import run_training
from detector.jobs.training_data import check_settings, open_splits
from detector.runs.folder import RunFolder
from detector.runs.job import Job
from detector.runs.processes import alone

VALIDATION = ["finetune.best=accuracy", "finetune.validation=[SPLIT]"]
WEIGHED = ["ensemble.members=2", "ensemble.fit_weights=[SPLIT]"]
CONTEXT = ["context.splits=[SPLIT]"]
UNTRAINED = ["finetune.steps=0", "network.head=synsets", "network.weights=a.npz"]


@pytest.fixture(scope="module")
def lists(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Lists of two training images and of two test images, under names of their own."""
    folder = tmp_path_factory.mktemp("lists")
    for split in ("train", "val"):
        names = [f"synthetic_{split}_0000000{number} {number}\n" for number in (1, 2)]
        (folder / f"two_of_{split}.txt").write_text("".join(names))
    return folder


def settings(path: Path, words: list[str], split: object = "") -> Config:
    return load_config(Config, path, [word.replace("SPLIT", str(split)) for word in words])


def warnings_of(dataset: Dataset) -> list[str]:
    return [note.removeprefix("warning: ") for note in dataset.notes if note.startswith("warning: ")]


@pytest.mark.parametrize(
    ("words", "key"),
    [(VALIDATION, "finetune.validation"), (WEIGHED, "ensemble.fit_weights"), (CONTEXT, "context.splits")],
)
def test_what_is_held_out_for_anything_is_not_trained_on(
    words: list[str], key: str, tiny_config_path: Path, tiny_data: Path, lists: Path
) -> None:
    whole = settings(tiny_config_path, words, "train")
    with pytest.raises(DataError, match=f"{key} must hold no image that is trained on, got 12 of them, first "):
        open_splits(whole)
    some = settings(tiny_config_path, words, lists / "two_of_train.txt")
    with pytest.raises(DataError, match=f"{key} must hold no image that is trained on, got 2 of them, first "):
        open_splits(some)


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (VALIDATION, "that the weights to test are chosen by (finetune.validation, first "),
        (WEIGHED, "that the models' weights are learned from (ensemble.fit_weights, first "),
        (CONTEXT, "that the rescoring is learned from (context.splits, first "),
    ],
)
def test_a_test_on_images_that_something_was_learned_from_is_told(
    words: list[str], told: str, tiny_config_path: Path, lists: Path
) -> None:
    config = settings(tiny_config_path, words, lists / "two_of_val.txt")
    for tested in (open_splits(config).testing, open_tested(config, ("val",))):
        (line,) = warnings_of(tested.dataset)
        assert line.startswith(f"2 of 4 images that are tested on are among those {told}")
        assert line.endswith("): on these, results are better than on others")
    (line,) = warnings_of(open_tested(config, (str(lists / "two_of_val.txt"),)).dataset)
    assert line.startswith("2 of 2 images that are tested on")


def test_what_is_learned_from_images_that_the_weights_were_chosen_by_is_told(
    tiny_config_path: Path, lists: Path
) -> None:
    words = [*VALIDATION, *WEIGHED, *CONTEXT, f"data.test={lists / 'two_of_val.txt'}"]
    lines = warnings_of(open_splits(settings(tiny_config_path, words, "val")).testing.dataset)
    assert [line.split("(")[0].replace("are among those ", "") for line in lines] == [
        "2 of 2 images that are tested on that the weights to test are chosen by ",
        "2 of 2 images that are tested on that the models' weights are learned from ",
        "2 of 2 images that are tested on that the rescoring is learned from ",
        "4 of 4 images that the models' weights are learned from that the weights to test are chosen by ",
        "4 of 4 images that the rescoring is learned from that the weights to test are chosen by ",
    ]


def test_a_test_on_training_images_is_told_where_anything_is_learned_from_them(
    tiny_config_path: Path, lists: Path
) -> None:
    words = [f"data.test={lists / 'two_of_train.txt'}"]
    (line,) = warnings_of(open_splits(settings(tiny_config_path, words)).testing.dataset)
    assert line.startswith(
        "2 of 2 images that are tested on are among those that the models are trained on (data.t"
    )
    untrained = settings(tiny_config_path, [*words, *UNTRAINED])
    assert warnings_of(open_splits(untrained).testing.dataset) == []
    (line,) = warnings_of(open_tested(settings(tiny_config_path, []), ("train",)).dataset)
    assert line.startswith("12 of 12 images that are tested on")


def test_what_further_runs_of_an_ensemble_are_trained_on_is_neither_held_out_nor_tested_on_without_a_word(
    tiny_config_path: Path, lists: Path, tmp_path: Path
) -> None:
    same, other, gone = (RunFolder(tmp_path / name) for name in ("same", "other", "gone"))
    same.begin(settings(tiny_config_path, []))
    other.begin(settings(tiny_config_path, [f"data.train={lists / 'two_of_val.txt'}"]))
    gone.begin(settings(tiny_config_path, ["data.root=gone", "data.train=gone"]))
    runs = f"ensemble.runs=[{same.path}, {other.path}, {gone.path}]"
    config = settings(tiny_config_path, [runs])
    for tested in (open_splits(config).testing, open_tested(config, ("val",))):
        (line,) = warnings_of(tested.dataset)
        assert line.startswith("2 of 4 images that are tested on are among those that the models are trained on ")
        assert f"(data.train of {other.path}, first " in line
        (line,) = [note for note in tested.dataset.notes if "cannot be compared" in note]
        assert line.startswith(f"data.train of {gone.path} ")
    with pytest.raises(DataError, match=r"ensemble\.fit_weights must hold no image that is trained on, got 2 of"):
        open_splits(settings(tiny_config_path, [runs, "ensemble.fit_weights=[val]"]))


def test_splits_apart_have_nothing_to_tell(tiny_config_path: Path) -> None:
    config = settings(tiny_config_path, [])
    assert warnings_of(open_splits(config).testing.dataset) == []
    assert warnings_of(open_tested(config, ("val",)).dataset) == []


def test_a_trained_run_is_tested_where_what_it_was_learned_on_is_gone(tiny_config_path: Path) -> None:
    config = settings(tiny_config_path, CONTEXT, "gone.txt")
    notes = open_tested(config, ("val",)).dataset.notes
    assert any("context.splits cannot be compared with other splits: " in note for note in notes)


@pytest.mark.parametrize("word", ["boxes.method=joint", "finetune.validation=[val]", "ensemble.fit_weights=[val]"])
def test_a_setting_without_its_partner_is_refused_before_any_work(
    word: str, tiny_config_path: Path, tmp_path: Path
) -> None:
    with pytest.raises(ConfigError, match=f"{word.partition('=')[0]} must be .* without "):
        run_training(RunFolder(tmp_path / "run"), settings(tiny_config_path, [word]))
    assert not (tmp_path / "run").exists()


def test_settings_of_a_part_that_is_off_are_told_at_the_start(
    tiny_config_path: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    config = settings(tiny_config_path, ["svm.images=7"])
    splits = open_splits(config)
    job = Job(RunFolder(tmp_path / "run"), config, alone())
    check_settings(job, splits, network_task(config, splits.training.dataset.classes))
    line = "warning: without svm.enabled true nothing uses svm.images"
    assert line in capfd.readouterr().err
    assert line in (tmp_path / "run/log.jsonl").read_text()
