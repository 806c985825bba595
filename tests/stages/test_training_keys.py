"""What a training reads is in its key: with anything else it begins anew."""

import shutil
from pathlib import Path

import cv2
import pytest

from detector.config import Config
from detector.data.images import read_image
from detector.jobs.network_task import network_task
from detector.jobs.train_model import pretrained
from detector.runs.folder import RunFolder
from detector.runs.job import Job
from detector.runs.processes import alone
from detector.runs.split import open_split
from detector.runs.stage import Result
from detector.stages import train_regions


def pretraining_key(config: Config, run: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    keys = []

    def note(result: Result, *_: object) -> Path:
        keys.append(result.key)
        return Path()

    monkeypatch.setattr(train_regions, "run_trainer", note)
    split = open_split(config.data, config.data.train)
    pretrained(Job(RunFolder(run), config, alone()), network_task(config, split.dataset.classes), split)
    return keys[0]


def test_a_pretraining_is_of_its_images(
    tiny_data: Path, tiny_config: Config, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = shutil.copytree(tiny_data, tmp_path / "tree")
    config = tiny_config.model_copy(
        update={
            "data": tiny_config.data.model_copy(update={"root": root}),
            "pretrain": tiny_config.pretrain.model_copy(update={"steps": 2, "batch_size": 4}),
        }
    )
    key = pretraining_key(config, tmp_path / "run", monkeypatch)
    assert pretraining_key(config, tmp_path / "run", monkeypatch) == key
    image = min((root / "Data/DET/train").rglob("*.JPEG"))
    cv2.imwrite(str(image), 255 - read_image(image))
    assert pretraining_key(config, tmp_path / "run", monkeypatch) != key
