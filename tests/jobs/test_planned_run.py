"""One's own data in one line: found, split, planned, trained and tested, and gone on with."""

import json
from pathlib import Path

import pytest
from trees import coco_tree, side_by_side, write_annotation, write_coco, write_image
from yolo_trees import ONE, by_kind, two_folders

from detector import commands
from detector.config import DataSettings
from detector.data.readers import open_dataset
from detector.errors import DataError
from detector.jobs.own_data import own_data, unused_since

TINY = [
    *("network.variant=tiny", "region.crop_size=32", "region.padding=2", "proposals.superpixel_scale=8"),
    *("proposals.max_boxes=20", "engine.backend=torch", "engine.precision=fp32", "engine.workers=0"),
    *("finetune.steps=2", "finetune.warmup=0", "finetune.batch_size=8", "finetune.positives=4"),
    *("evaluate.pictures=1", "evaluate.resamples=10"),
]


@pytest.fixture
def photographs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A working folder with ten photographs of cats and dogs in `my photos`."""
    monkeypatch.chdir(tmp_path)
    for number, name in enumerate("abcdefghij"):
        write_image(tmp_path / f"my photos/{name}.png", 60, 80 + 7 * number)
        row = ("cat", "dog")[number % 2], (5, 5, 40 + number, 50)
        write_annotation(tmp_path / f"my photos/{name}.xml", row, height=60, width=80 + 7 * number)
    return tmp_path


def train(capsys: pytest.CaptureFixture[str], *words: str) -> tuple[int, str, str]:
    status = commands.main(["train_det", *words])
    found = capsys.readouterr()
    return status, found.out, found.err


def test_a_folder_is_planned_for_trained_on_and_gone_on_with(
    photographs: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    asked = ["--data", "my photos", "--run", "run", *TINY]
    status, printed, told = train(capsys, *asked, "--print-config")
    assert status == 0
    assert "format: voc" in printed
    assert "protocol: voc2010" in printed
    assert "3 of 10 images are drawn to test on (run/data/test.txt)" in told
    assert "expected minutes: propose 0." in told
    plan, lists = (photographs / "run/plan.json").read_bytes(), (photographs / "run/data/test.txt").read_bytes()

    status, printed, told = train(capsys, *asked)
    assert status == 0
    assert "plan: that of run/plan.json" in told
    assert "report: run/report/index.html\nminutes: " in printed
    assert "next: open the report, then detector detect run photo.jpg" in printed
    metrics = (photographs / "run/metrics.csv").read_bytes()

    status, again, told = train(capsys, *asked)
    assert (status, again.split("minutes: ")[0]) == (0, printed.split("minutes: ")[0])
    assert (photographs / "run/metrics.csv").read_bytes() == metrics
    assert (photographs / "run/plan.json").read_bytes() == plan
    assert (photographs / "run/data/test.txt").read_bytes() == lists

    (photographs / "run").rename(photographs / "moved")
    elsewhere = ["--data", str(photographs / "my photos/."), "--run", "moved", *TINY]
    status, again, told = train(capsys, *elsewhere)
    assert (status, "plan: that of moved/plan.json" in told) == (0, True)
    assert (photographs / "moved/metrics.csv").read_bytes() == metrics
    (photographs / "my photos").rename(photographs / "pictures")
    elsewhere[1] = "pictures"
    status, again, told = train(capsys, *elsewhere)
    assert (status, "moved/plan.json, of the same data in another folder" in told) == (0, True)
    assert (photographs / "moved/metrics.csv").read_bytes() == metrics
    assert "plan: that of moved/plan.json\n" in train(capsys, *elsewhere, "--print-config")[2]
    (photographs / "moved").rename(photographs / "run")
    (photographs / "pictures").rename(photographs / "my photos")

    status, printed, told = train(capsys, *asked, "finetune.steps=3", "--print-config")
    assert "  steps: 3\n" in printed
    assert "plan: that of" in told
    (photographs / "run/plan.json").write_text(json.dumps({**json.loads(plan), "for": {}}))
    status, printed, told = train(capsys, *asked, "--print-config")
    assert "expected minutes" in told


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ([], "config must be given, or --data FOLDER"),
        (["a.yaml", "--data", "d"], "config must be left out with --data, got a.yaml and d"),
        (
            ["a.yaml", "--minutes", "3"],
            "--minutes must be left out for a config, which says itself how long it trains",
        ),
        (["--data", "gone", "network.weights=null"], "--data must be a folder, got gone"),
        (["--data", "my photos", "name=../x"], "name must be a folder's name that stays below runs, got '../x'"),
        (["--data", "my photos", "engine=3"], "engine must be"),
        (["--data", "my photos", "data=3"], "data must be"),
        (["finetune.stepz=3", "--data", "gone"], "unknown setting finetune.stepz = 3"),
        (["--data", "my photos", "--minutes", "0"], "--minutes must be a number above 0 and at most 1e+06, got 0"),
    ],
)
def test_what_is_asked_for_wrongly_is_told_in_a_line(
    words: list[str],
    message: str,
    photographs: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    try:
        status, _, told = train(capsys, *words)
    except SystemExit as ended:
        status, told = int(str(ended.code)), capsys.readouterr().err
    assert status == 2
    assert told.startswith(f"train_det: {message}")
    assert told.count("\n") == 1


def test_missing_weights_are_told_with_what_brings_them(
    photographs: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TORCH_HOME", str(photographs / "hub"))
    status, _, told = train(capsys, "--data", "my photos")
    assert status == 2
    assert "add --download; network.weights=null does without, for thousands of photographs" in told
    assert not (photographs / "runs/my photos/plan.json").exists()


def test_a_folder_without_data_is_told_before_missing_weights(
    photographs: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TORCH_HOME", str(photographs / "hub"))
    (photographs / "empty").mkdir()
    status, _, told = train(capsys, "--data", "empty")
    assert (status, told.count("\n")) == (2, 1)
    assert "weights" not in told
    assert "empty" in told


def read(tree: dict[str, object]) -> tuple[list[str], list[str]]:
    """The names of the images that are trained and tested on."""
    settings = DataSettings.model_validate(tree)
    names = [
        [Path(path).stem for path in open_dataset(settings, each).paths]
        for each in (settings.train, settings.test)
    ]
    return names[0], names[1]


def test_what_is_tested_on_is_test_or_else_val_that_has_objects(tmp_path: Path) -> None:
    side_by_side(tmp_path, "train", a=[("cat", (5, 5, 20, 20))])
    side_by_side(tmp_path, "valid", b=[("cat", (5, 5, 20, 20))])
    tree, lines = own_data(tmp_path, {}, tmp_path / "lists", 0)
    assert (tree["train"], tree["test"]) == ("train", "valid")
    side_by_side(tmp_path, "test", c=[("cat", (5, 5, 20, 20))])
    tree, lines = own_data(tmp_path, {}, tmp_path / "lists", 0)
    assert tree["test"] == "test"
    assert lines[1] == "split: trained on train, tested on test; valid is not used"
    write_annotation(tmp_path / "test/c.xml")
    assert own_data(tmp_path, {}, tmp_path / "lists", 0)[0]["test"] == "valid"
    assert own_data(tmp_path, {"test": "test"}, tmp_path / "lists", 0)[0]["test"] == "test"
    assert not (tmp_path / "lists").exists()


def test_a_val_split_of_the_training_images_is_none(tmp_path: Path) -> None:
    by_kind(tmp_path, "train2017", {name: [ONE] for name in "abcdefghij"})
    lines = ["train: images/train2017", "val: images/train2017", "names: [cat]"]
    (tmp_path / "data.yaml").write_text("\n".join(lines))
    tree, _ = own_data(tmp_path, {}, tmp_path / "lists", 0)
    trained, tested = read(tree)
    assert sorted(trained + tested) == list("abcdefghij")
    assert len(tested) == 3


def test_lists_split_images_of_every_format(tmp_path: Path) -> None:
    names = ["a b", "c", "d ü", "e", "f", "1"]
    two_folders(tmp_path / "yolo", "train", {name: [ONE] for name in names})
    side_by_side(tmp_path / "voc", ".", **{name: [("cat", (5, 5, 20, 20))] for name in names})
    tree = coco_tree()
    images = [
        {"id": 7 * row, "file_name": f"{name}.jpg", "height": 40, "width": 60} for row, name in enumerate(names)
    ]
    boxes = [
        {"id": row, "image_id": 7 * row, "category_id": 3, "bbox": [1, 2, 10, 20]} for row in range(len(names))
    ]
    write_coco(tmp_path / "coco", "default", {**tree, "images": images, "annotations": boxes})
    for name in ("yolo", "voc", "coco"):
        settings, _ = own_data(tmp_path / name, {}, tmp_path / "lists" / name, 0)
        assert settings["format"] == name
        trained, tested = read(settings)
        assert sorted(trained + tested) == sorted(names)
        assert len(tested) == 2


def test_annotations_that_came_after_the_lists_of_a_plan_are_told(tmp_path: Path) -> None:
    side_by_side(tmp_path / "set", ".", **{name: [("cat", (5, 5, 20, 20))] for name in "abcdef"})
    tree, _ = own_data(tmp_path / "set", {}, tmp_path / "lists", 0)
    assert unused_since(tree, {}) == []
    side_by_side(tmp_path / "set", ".", g=[("cat", (5, 5, 20, 20))])
    (line,) = unused_since(tree, {})
    assert line.startswith(f"not used: {tmp_path / 'set'} has 1 annotations that are in no split")
    assert unused_since(tree, {"train": "x", "test": "y"}) == []
    assert unused_since({**tree, "root": str(tmp_path / "gone")}, {}) == []


def test_a_class_of_the_test_alone_is_one_that_nothing_is_learned_of(tmp_path: Path) -> None:
    side_by_side(tmp_path, "train", a=[("dog", (5, 5, 20, 20)), ("cat", (5, 5, 20, 20))])
    side_by_side(tmp_path, "test", b=[("ant", (5, 5, 20, 20)), ("cat", (5, 5, 20, 20))])
    tree, lines = own_data(tmp_path, {}, tmp_path / "lists", 0)
    assert tree["classes"] == ["cat", "dog", "ant"]
    assert lines[-1].endswith("so that their AP is 0: ant")
    read(tree)


def test_images_without_annotation_are_told(tmp_path: Path) -> None:
    side_by_side(tmp_path, ".", **{name: [("cat", (5, 5, 20, 20))] for name in "abcde"})
    write_image(tmp_path / "f.jpg")
    tree, lines = own_data(tmp_path, {}, tmp_path / "lists", 0)
    assert lines[-1].startswith("warning: 1 images have no annotation and are not in the split (")
    assert sum(map(len, read(tree))) == 5


def test_classes_without_names_keep_their_numbers(tmp_path: Path) -> None:
    by_kind(tmp_path, "train", {"a": [ONE]})
    by_kind(tmp_path, "val", {"b": [ONE, "4 0.5 0.5 0.25 0.25"]})
    tree, _ = own_data(tmp_path, {}, tmp_path / "lists", 0)
    assert tree["classes"] == ["class 0", "class 4"]
    settings = DataSettings.model_validate(tree)
    assert open_dataset(settings, settings.test).objects.labels.tolist() == [1, 2]


def test_one_image_is_told_to_be_too_few_and_two_are_enough(tmp_path: Path) -> None:
    side_by_side(tmp_path, ".", a=[("cat", (5, 5, 20, 20))])
    with pytest.raises(DataError, match="data must hold two images, one to train on and one to test on, got 1"):
        own_data(tmp_path, {}, tmp_path / "lists", 0)
    write_image(tmp_path / "b.jpg", 50, 70)
    write_annotation(tmp_path / "b.xml", ("cat", (5, 5, 20, 20)), height=50, width=70)
    trained, tested = read(own_data(tmp_path, {}, tmp_path / "lists", 0)[0])
    assert (len(trained), len(tested)) == (1, 1)


def test_a_refusal_leaves_no_lists_behind_but_those_of_a_plan_before(
    photographs: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    damaged, run = photographs / "my photos/c.png", photographs / "run"
    asked = ["--data", "my photos", "--run", "run", *TINY, "--print-config"]
    whole = damaged.read_bytes()
    damaged.write_bytes(whole[:-100])
    status, _, told = train(capsys, *asked)
    assert (status, "c.png" in told) == (2, True)
    assert not (run / "data").exists()

    damaged.write_bytes(whole)
    assert train(capsys, *asked)[0] == 0
    lists = [(run / "data" / name).read_bytes() for name in ("train.txt", "test.txt")]
    write_image(photographs / "my photos/k.png", 60, 200)
    write_annotation(photographs / "my photos/k.xml", ("cat", (5, 5, 40, 50)), height=60, width=200)
    damaged.write_bytes(whole[:-100])
    assert train(capsys, *asked, "--minutes", "50")[0] == 2
    assert [(run / "data" / name).read_bytes() for name in ("train.txt", "test.txt")] == lists


@pytest.mark.parametrize("words", ["data.train=all", "data.train=[one,two]"])
def test_what_a_split_is_drawn_from_is_not_what_is_trained_on(
    words: str, photographs: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for path in sorted((photographs / "my photos").iterdir()):
        folder = path.parent / ("one" if path.stem < "f" else "two")
        folder.mkdir(exist_ok=True)
        path.rename(folder / path.name)
    asked = ["--data", "my photos", "--run", "run", *TINY, words, "--print-config"]
    status, printed, told = train(capsys, *asked)
    assert (status, "images are in both splits" in told) == (0, False)
    assert "3 of 10 images are drawn to test on" in told
    assert "  train:\n  - run/data/train.txt\n  test:\n  - run/data/test.txt\n" in printed
    assert train(capsys, *asked)[1] == printed
