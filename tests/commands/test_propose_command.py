"""Regions of a plain folder of images."""

import json
from pathlib import Path

import numpy as np
import pytest
from image_bytes import encoded, noisy_picture
from trees import coco_tree, side_by_side, write_coco, write_image

from detector import commands
from detector.config import DataSettings, ProposalSettings
from detector.data.exchange.given_proposals import GivenProposals
from detector.data.images import read_image
from detector.data.readers import open_dataset
from detector.proposals.selective_search import selective_search
from detector.runs.store import Store, read_proposals

FEW = "proposals.max_boxes=7"


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    """Images in two folders, among them two that differ in suffix alone, and a text."""
    root = tmp_path / "my photos"
    for number, name in enumerate(("a.jpg", "b.png", "b.jpg", "more/ä b.jpg")):
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(encoded(noisy_picture(seed=number), "PNG" if name == "b.png" else "JPEG"))
    (root / "notes.txt").write_text("nothing")
    return root


def propose(folder: Path, *words: str) -> int:
    return commands.main(["propose", str(folder), FEW, *words])


def test_both_files_hold_the_search_of_each_image(photos: Path, tmp_path: Path) -> None:
    npz, coco = tmp_path / "boxes.npz", tmp_path / "out/boxes.json"
    run = ("--run", str(tmp_path / "run"))
    assert propose(photos, "--out", str(npz), "--out", str(coco), *run) == 0
    dataset = open_dataset(DataSettings(format="images", root=photos), ["all"])
    assert dataset.image_ids.tolist() == ["a", "b.jpg", "b.png", "more/ä b"]
    settings = ProposalSettings(max_boxes=7)
    for position in range(len(dataset)):
        record = dataset.record(position)
        wanted = selective_search(read_image(record.path), settings, seed=0)
        for path in (npz, coco):
            found = GivenProposals.open(path, dataset).read(position)
            np.testing.assert_allclose(found.boxes, wanted.boxes, atol=1e-4)
            np.testing.assert_array_equal(found.scores, wanted.scores)


def test_a_file_reads_back_as_proposals_of_annotated_images(tmp_path: Path) -> None:
    photos = side_by_side(tmp_path / "photos", "val", a=[("dog", (1, 1, 60, 40))], b=[])
    out = tmp_path / "boxes.npz"
    assert propose(photos / "val", "--out", str(out), "--run", str(tmp_path / "run")) == 0
    dataset = open_dataset(DataSettings(format="voc", root=photos, train=("val",)), ["val"])
    given = GivenProposals.open(out, dataset)
    assert all(len(given.read(position).boxes) for position in range(2)) and not given.notes


def test_a_broken_image_is_told_and_left_out(
    photos: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (photos / "c.jpg").write_bytes(b"no picture")
    out = tmp_path / "boxes.npz"
    assert propose(photos, "--out", str(out), "--run", str(tmp_path / "run")) == 0
    assert np.load(out)["image_ids"].tolist() == ["a", "b.jpg", "b.png", "more/ä b"]
    said = capsys.readouterr()
    assert "c.jpg" in said.err + said.out


def test_a_folder_below_is_a_split(photos: Path, tmp_path: Path) -> None:
    run = tmp_path / "run"
    assert propose(photos, "--split", "more", "--run", str(run)) == 0
    store = Store.open(run / "stages/propose/more/store")
    assert len(store) == 1 and len(read_proposals(store, 0).boxes) == 7


def test_regions_of_a_split_are_written_too(tmp_path: Path) -> None:
    photos = side_by_side(tmp_path / "photos", "val", a=[("dog", (1, 1, 60, 40))])
    config, out = tmp_path / "mine.yaml", tmp_path / "boxes.json"
    config.write_text(f"data:\n  format: voc\n  root: {photos}\n  train: val\n")
    assert propose(config, "--split", "val", "--out", str(out), "--run", str(tmp_path / "run")) == 0
    assert {row["image_id"] for row in json.loads(out.read_text())} == {"a"}


@pytest.mark.parametrize("stated", [5, "5"])
def test_regions_of_a_coco_set_have_the_ids_as_its_json_states_them(tmp_path: Path, stated: int | str) -> None:
    image = {"id": stated, "file_name": "a.jpg", "height": 40, "width": 60}
    write_coco(tmp_path / "set", "train", {**coco_tree(), "images": [image], "annotations": []})
    config, coco, npz = (tmp_path / name for name in ("mine.yaml", "boxes.json", "boxes.npz"))
    config.write_text(f"data:\n  format: coco\n  root: {tmp_path / 'set'}\n  train: train\n")
    words = ("--split", "train", "--run", str(tmp_path / "run"), "--out", str(coco), "--out", str(npz))
    assert propose(config, *words) == 0
    assert {row["image_id"] for row in json.loads(coco.read_text())} == {stated}
    assert np.load(npz)["image_ids"].tolist() == ["5"]


@pytest.mark.parametrize(
    ("words", "wanted"),
    [
        ((), "--out must be a file for the regions of"),
        (("--out", "boxes.txt"), "--out must be an .npz or .json file, got boxes.txt"),
        (("--split", "none", "--run", "run"), "split must be 'all' or a folder, got 'none'"),
        (("--out", "x.npz", "finetune.stepz=1"), "finetune.stepz"),
    ],
)
def test_what_does_not_fit_is_one_line(
    photos: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    words: tuple[str, ...],
    wanted: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    assert propose(photos, *words) == 2
    said = capsys.readouterr().err
    assert wanted in said and said.count("\n") == 1


def test_an_empty_folder_and_a_config_without_split_are_one_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "empty").mkdir()
    config = tmp_path / "mine.yaml"
    config.write_text("name: mine\n")
    assert propose(tmp_path / "empty", "--run", str(tmp_path / "run")) == 2
    assert "must hold at least one image, got none" in capsys.readouterr().err
    assert propose(config) == 2
    assert "--split must be given for the config" in capsys.readouterr().err


def test_what_is_neither_a_folder_nor_a_config_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    write_image(tmp_path / "photo.JPG")
    for name, got in {"gone": "gone, which is not there", "photo.JPG": "the image photo.JPG"}.items():
        assert commands.main(["propose", name, "--out", "e.npz"]) == 2
        told = capsys.readouterr().err
        assert told == f"propose: config must be a YAML file or a folder of images, got {got}\n"
