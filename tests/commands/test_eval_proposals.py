import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from trees import side_by_side

from detector import commands
from detector.boxes import box_iou
from detector.commands.eval_proposals import named_paths
from detector.config import Config, DataSettings
from detector.data.readers import open_dataset
from detector.errors import ConfigError
from detector.records import Array
from detector.runs.folder import RunFolder
from detector.runs.split import split_slug
from detector.runs.store import PROPOSAL_FIELDS, Fields, Store, StoreWriter, read_proposals

WHOLE = (0.0, 0.0, 60.0, 40.0)


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    """The split val: image a with a dog over all its 60 x 40 pixels, b with a cat, c with nothing."""
    objects = {"a": [("dog", (1, 1, 60, 40))], "b": [("cat", (1, 1, 30, 40))], "c": []}
    return side_by_side(tmp_path / "photos", "val", **objects)


def write_store(folder: Path, *boxes: list[tuple[float, ...]], fields: Fields = PROPOSAL_FIELDS) -> Path:
    """A finished store of these boxes of each image."""
    entries = []
    for rows in boxes:
        arrays = {
            "boxes": np.array(rows, np.float32).reshape(-1, 4),
            "scores": np.linspace(1, 0, len(rows), dtype=np.float32),
        }
        entries.append({name: arrays[name] for name in fields})
    writer = StoreWriter(folder, fields, len(boxes), "key")
    writer.write_shard(range(len(boxes)), entries)
    writer.finish()
    return folder


def write_npz(path: Path, **boxes: list[tuple[float, ...]]) -> Path:
    flat: Array = np.array([box for rows in boxes.values() for box in rows], np.float32).reshape(-1, 4)
    offsets = np.cumsum([0, *map(len, boxes.values())])
    np.savez(path, image_ids=np.array(list(boxes)), offsets=offsets, boxes=flat)
    return path


def evaluate(photos: Path, *words: str) -> int:
    config = photos.parent / "photos.yaml"
    config.write_text(f"data:\n  format: voc\n  root: {photos}\n  train: val\n")
    return commands.main(["eval_proposals", str(config), "--split", "val", *words])


def test_a_run_s_own_proposals_of_other_settings_than_the_config_s_are_told_with_these(
    photos: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    stage = RunFolder(tmp_path / "run").stage("propose", "val")
    settings = Config().proposals.model_dump(exclude={"multibox": {"weights"}, "given": True})
    result = stage.result(1, settings=settings | {"max_boxes": 7})
    result.begin()
    write_store(result.folder / "store", [WHOLE], [WHOLE], [WHOLE])
    result.finish()
    run, told = str(tmp_path / "run"), "made with proposals.max_boxes 7, not 0"
    assert evaluate(photos, "--run", run) == 0
    assert f"warning: the proposals in {stage.folder} were {told}\n" in capsys.readouterr().err
    assert told in (tmp_path / "run/recall_val/report.md").read_text()
    for words in (["proposals.max_boxes=7"], ["--proposals", str(stage.folder)]):  # or of whatever run
        assert evaluate(photos, *words, "--run", run) == 0
        assert "made with" not in capsys.readouterr().err


def read_tree(folder: Path) -> Any:
    return json.loads((folder / "recall.json").read_text())


def test_a_store_and_a_file_are_judged_side_by_side(
    photos: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    store = write_store(
        tmp_path / "run/stages/propose/val/store", [(0, 0, 60, 32)], [WHOLE, (0, 0, 30, 40)], [WHOLE]
    )
    given = write_npz(tmp_path / "given.npz", b=[(0, 0, 30, 40)])
    out = tmp_path / "out"
    assert (
        evaluate(photos, "--proposals", str(store.parent), f"mine={given}", "--budgets", "1", "--out", str(out))
        == 0
    )
    tree = read_tree(out)
    assert [source["name"] for source in tree["sources"]] == ["run", "mine"]
    searched, mine = tree["sources"]
    assert [(row["budget"], row["recall"]["0.5"], row["recall"]["0.9"]) for row in searched["rows"]] == [
        (1, 1, 0),
        (None, 1, 0.5),
    ]
    assert searched["rows"][-1]["average_recall"] == pytest.approx((0.6 + 1) / 2)
    assert searched["rows"][-1]["boxes_per_image"] == pytest.approx(4 / 3)
    assert [row["recall"]["0.5"] for row in mine["rows"]] == [0.5]
    printed = capsys.readouterr().out
    assert printed.splitlines()[1].split()[:4] == ["run", "1", "1.0", "1.0000"]
    assert printed.endswith(f"report: {out / 'report.html'}\n")
    assert "2 of 3 images have no entry" in (out / "report.html").read_text()


def test_without_a_path_the_run_s_own_store_is_judged(photos: Path, tmp_path: Path) -> None:
    write_store(tmp_path / "run/stages/propose/val/store", [WHOLE], [], [])
    assert evaluate(photos, "--run", str(tmp_path / "run")) == 0
    (source,) = read_tree(tmp_path / "run/recall_val")["sources"]
    assert (source["name"], source["rows"][-1]["recall"]["0.9"]) == ("run", 0.5)


FEATURES: Fields = {"scores": (np.dtype(np.float32), ())}


def test_what_is_no_store_of_the_split_is_one_line(
    photos: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    short = write_store(tmp_path / "short", [WHOLE])
    other = write_store(tmp_path / "other", [WHOLE], [(0, 0, 62, 40)], [])
    features = write_store(tmp_path / "features", [WHOLE], [], [], fields=FEATURES)
    (tmp_path / "empty").mkdir()
    (tmp_path / "notes.txt").touch()
    messages = {
        short: "store must be of the 3 images of val, got 1",
        other: "boxes of a store must be inside their image, got others for b of 60 x 40 pixels",
        features: "store of proposals must have the fields boxes, scores, got scores",
        tmp_path / "empty": "store must be finished, got one that is missing or half written",
        tmp_path / "notes.txt": "proposals must be an .npz or .json file, got",
        tmp_path / "nowhere": "proposals must be a folder of `propose`, or an .npz or .json file, got none at",
    }
    for path, message in messages.items():
        assert evaluate(photos, "--proposals", str(path), "--out", str(tmp_path / "out")) == 2
        error = capsys.readouterr().err.splitlines()[-1]
        assert message in error
        assert str(path) in error
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("word", ["0", "many"])
def test_a_wrong_number_of_boxes_is_a_usage_error(
    photos: Path, capsys: pytest.CaptureFixture[str], word: str
) -> None:
    with pytest.raises(SystemExit):
        evaluate(photos, "--budgets", word)
    assert f"must be a whole number from 1, got {word}" in capsys.readouterr().err


def test_paths_are_named_by_the_user_the_run_or_the_file(tmp_path: Path) -> None:
    odd = tmp_path / "a=b.npz"
    odd.touch()
    words = ["ss=x/y.npz", "runs/fruit/stages/propose/test", "z/random.json", str(odd)]
    assert named_paths(words) == {
        "ss": Path("x/y.npz"),
        "fruit": Path("runs/fruit/stages/propose/test"),
        "random": Path("z/random.json"),
        "a=b": odd,
    }


def test_two_paths_of_one_name_are_refused() -> None:
    with pytest.raises(ConfigError, match=r"^names of proposals must differ, got a twice; write NAME=PATH$"):
        named_paths(["a.npz", "b/a.json"])


@pytest.mark.shared
def test_selective_search_covers_the_fruit_of_photographs(shared: Path, tmp_path: Path) -> None:
    images = tmp_path / "list.txt"
    images.write_text("apple_77\nbanana_77\norange_77\nmixed_21\n")
    config = tmp_path / "fruit.yaml"
    root = shared / "data/fruit"
    config.write_text(
        f"data: {{format: voc, root: {root}, train: train}}\nproposals: {{width: 160, min_side: 8}}\n"
    )
    words = [str(config), "--split", str(images), "--run", str(tmp_path / "run")]
    assert commands.main(["propose", *words]) == 0
    assert commands.main(["eval_proposals", *words]) == 0
    slug = split_slug([str(images)])
    (source,) = read_tree(tmp_path / f"run/recall_{slug}")["sources"]
    store = Store.open(tmp_path / "run/stages/propose" / slug / "store")
    photographs = open_dataset(DataSettings(format="voc", root=root, train=("train",)), [str(images)])
    overlaps = np.concatenate(
        [
            box_iou(photographs.truth(position).boxes, read_proposals(store, position).boxes).max(axis=1)
            for position in range(len(photographs))
        ]
    )
    last = source["rows"][-1]
    assert last["recall"] == {str(iou): pytest.approx(np.mean(overlaps >= iou)) for iou in (0.5, 0.7, 0.9)}
    assert last["average_recall"] == pytest.approx(2 * np.maximum(overlaps - 0.5, 0).mean(), abs=1e-6)
    assert last["recall"]["0.5"] > 0.8
