"""The settings of a run are all there, or it is told."""

from pathlib import Path

import pytest

from detector.config import Config, MultiBoxConfig, dump_config, load_config, parse_config
from detector.config.loading import dump_run_config, load_run_config
from detector.errors import ConfigError

LATER = ("cascade", "ensemble", "context", "log")  # sections that not every earlier version had
CONFIG = parse_config(Config, {"detect": {"nms": "soft_linear"}, "boxes": {"enabled": True}}, "test")


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "config.yaml"


def test_the_settings_of_a_run_come_back_equal(path: Path) -> None:
    path.write_text(dump_run_config(CONFIG))
    assert load_run_config(Config, path) == CONFIG
    assert load_run_config(Config, path, ["seed=3"]).seed == 3
    assert load_config(Config, path) == CONFIG


def test_settings_that_were_cut_off_anywhere_are_refused(path: Path) -> None:
    text = dump_run_config(CONFIG)
    for length in [*range(0, len(text) - 1, 37), text.index("\npretrain:"), text.index("# end\n"), len(text) - 2]:
        path.write_text(text[:length])
        with pytest.raises(ConfigError, match=r"config of a run must|must be valid YAML") as caught:
            load_run_config(Config, path)
        assert str(path) in str(caught.value)


def test_what_is_missing_is_named(path: Path) -> None:
    text = dump_config(CONFIG)
    path.write_text(text[: text.index("pretrain:")])
    missing = "pretrain, finetune, svm, boxes, detect, evaluate, engine"
    with pytest.raises(ConfigError) as caught:
        load_run_config(Config, path)
    assert str(caught.value) == f"config of a run must hold all settings, got none of {missing} ({path})"
    path.write_bytes(b"")
    with pytest.raises(ConfigError, match="got none of name, seed, data, "):
        load_run_config(Config, path, ["finetune.steps=3"])


def test_settings_of_earlier_versions_lack_what_is_newer(path: Path) -> None:
    tree = CONFIG.model_dump(mode="json", exclude={*LATER})
    del tree["detect"]["voting_iou"]
    path.write_text(dump_config(CONFIG))
    assert load_run_config(Config, path) == CONFIG
    path.write_text(str(tree).replace("None", "null").replace("True", "true").replace("False", "false"))
    assert load_run_config(Config, path) == CONFIG


def test_lines_behind_the_last_are_read(path: Path) -> None:
    text = dump_run_config(CONFIG)
    path.write_text(text.replace("seed: 0\n", "") + "seed: 4\n")
    assert load_run_config(Config, path).seed == 4


def test_a_run_s_file_that_was_cut_off_is_no_config_to_train_by(path: Path) -> None:
    text = dump_run_config(CONFIG)
    path.write_text(text[: text.index("detect:")])
    with pytest.raises(
        ConfigError, match=r"config of a run must end with the line # end, got none \(.*config\.yaml\)"
    ):
        load_config(Config, path)


def test_the_settings_of_another_experiment_are_told_as_such(path: Path) -> None:
    path.write_text(dump_run_config(MultiBoxConfig()))
    with pytest.raises(ConfigError, match="unknown setting multibox = "):
        load_run_config(Config, path)
    assert load_run_config(MultiBoxConfig, path) == MultiBoxConfig()
