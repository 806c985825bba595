from dataclasses import replace
from pathlib import Path

import numpy as np

from detector.config import Config
from detector.data.readers import open_dataset
from detector.pipeline.distributed import alone
from detector.pipeline.evaluate import draw_pictures, run_evaluate
from detector.pipeline.run import RunFolder
from detector.records import DetectionTable, take

NONE = DetectionTable(np.empty(0, np.int64), np.empty((0, 4)), np.empty(0, np.int64), np.empty(0))


def test_pictures_show_images_with_objects_only(tiny_config: Config) -> None:
    dataset = open_dataset(tiny_config.data, tiny_config.data.train)
    pictures = draw_pictures(tiny_config, dataset, NONE)
    with_objects = {str(dataset.image_ids[i]) for i in np.unique(dataset.objects.image)}
    assert len(pictures) == 2
    assert {picture.caption for picture in pictures} <= with_objects


def test_a_split_without_objects_has_no_report(tiny_config: Config, tmp_path: Path) -> None:
    dataset = open_dataset(tiny_config.data, tiny_config.data.test)
    bare = replace(dataset, objects=take(dataset.objects, np.empty(0, np.int64)))
    run = RunFolder(tmp_path)
    stage, folder = run.stage("evaluate"), tmp_path / "report"
    assert run_evaluate(stage, tiny_config, bare, {"softmax": NONE}, {}, folder, alone()) is None
    assert not (tmp_path / "report").exists()
