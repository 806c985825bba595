"""`detect` tells which of the settings that its words give are used by nothing."""

from collections.abc import Callable
from pathlib import Path

import pytest
from trees import write_image

from detector import commands
from detector.commands import detect
from detector.inference.detector import ObjectDetector
from detector.runs.folder import RunFolder

Said = Callable[..., list[str]]  # of a detector's path and words


@pytest.fixture
def said(
    loaded: ObjectDetector, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Said:
    """What is said where a detector is used with words, as lines."""
    monkeypatch.setattr(detect, "load_detector", lambda *_: loaded)
    write_image(tmp_path / "a.png")

    def use(path: Path, *words: str) -> list[str]:
        given = [each for word in words for each in ("--set", word)]
        asked = ["detect", str(path), str(tmp_path / "a.png"), "--out", str(tmp_path / "out"), *given]
        assert commands.main(asked) == 0
        return [line for line in capsys.readouterr().err.splitlines() if line.startswith("warning")]

    return use


def test_settings_that_nothing_uses_are_told(made: RunFolder, said: Said) -> None:
    words = ["detect.soft_sigma=0.1", "detect.nms_iou=0.4", "evaluate.pictures=1", "data.root=x"]
    assert said(made.path, *words) == [
        "warning: nothing uses evaluate.pictures, data.root here",
        "warning: without detect.nms soft_gaussian nothing uses detect.soft_sigma",
    ]


def test_of_a_file_of_weights_what_only_a_run_has_is_told(made: RunFolder, said: Said) -> None:
    words = ["svm.enabled=true", "cascade.keep=9", "ensemble.mirror=true"]
    assert said(made.model_path, *words) == ["warning: nothing uses svm.enabled, cascade.keep here"]
    assert said(made.path, *words) == []
