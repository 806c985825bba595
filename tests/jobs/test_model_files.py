"""Model files whose header states something else: one line that names file and field."""

import json
from pathlib import Path
from typing import Any

import pytest
from safetensors.torch import save_file

from detector import load_detector
from detector.choices import BACKBONES
from detector.commands import run as run_command
from detector.errors import ConfigError, DataError
from detector.networks.weight_files.safetensors_files import METADATA, read_tensors
from detector.runs.folder import RunFolder

NAMES = ", ".join(BACKBONES)

Facts = dict[str, Any]


@pytest.fixture(scope="module")
def changed(made: RunFolder) -> Any:
    """Writes the run's network with changed facts."""
    state, facts = read_tensors(made.model_path)

    def write(path: Path, change: Facts, without: tuple[str, ...] = ()) -> Path:
        kept = {key: value for key, value in (facts | change).items() if key not in without}
        save_file(state, path, {METADATA: json.dumps(kept)})
        return path

    return write


def config_with(made: RunFolder, line: str) -> str:
    return read_tensors(made.model_path)[1]["config"] + line + "\n"


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            {"preprocessing.channel_order": "XYZ"},
            "preprocessing of weights: channel_order must be RGB or BGR, got",
        ),
        ({"preprocessing.mean": [1, 2]}, "preprocessing of weights: mean must be three numbers in"),
        ({"preprocessing.mean": "abc"}, "preprocessing of weights: mean must be three numbers in"),
        ({"preprocessing.scale": None}, "preprocessing of weights: scale must be three numbers in"),
        ({"preprocessing.scale": [0, 1, 1]}, "preprocessing of weights: scale must be three numbers in"),
        (
            {"region": {"crop_size": "a"}},
            "region.crop_size must be a whole number from 32 to 1024, got 'a' (FILE)",
        ),
        ({"region": "warp"}, "region must be `key: value` lines, got 'warp' (FILE)"),
        (
            {"variant": ["paper_bn"]},
            f"weights must be of a variant in {NAMES}, got ['paper_bn']",
        ),
        ({"classes": ["cat\ndog", "b"]}, "class name must be"),
        ({"config": "a: [1"}, "config of weights must be valid YAML, got FILE (line 1: "),
        (
            {"config": "a: !!python/name:os.system ''"},
            "config of weights must be valid YAML, got FILE (line 1: tag",
        ),
        ({"config": None}, "config must be text, got None (FILE)"),
        ({"config": "- 1"}, "weights must state the config of train_det in their metadata, got none (FILE)"),
        ({"config": ""}, "weights must state the config of train_det in their metadata, got none (FILE)"),
        ({"outputs": 17}, "outputs must be those of the classifier, 3, got 17 (FILE)"),
        ({"hash": "0" * 64}, f"weights must have the hash {'0' * 64} of their metadata, got "),
    ],
)
def test_what_a_detector_s_file_states_wrongly_is_one_line(
    made: RunFolder, changed: Any, tmp_path: Path, change: Facts, message: str
) -> None:
    facts: Facts = {}
    for key, value in change.items():
        section, _, field = key.partition(".")
        facts[section] = read_tensors(made.model_path)[1][section] | {field: value} if field else value
    path = changed(tmp_path / "m.safetensors", facts)
    with pytest.raises((ConfigError, DataError)) as caught:
        load_detector(path)
    assert str(path) in str(caught.value)
    assert str(caught.value).replace(str(path), "FILE").startswith(message)


def test_a_section_that_is_none_is_the_file_s_fault(changed: Any, made: RunFolder, tmp_path: Path) -> None:
    text = config_with(made, "").replace("engine:", "engine: 1\nother:")
    path = changed(tmp_path / "m.safetensors", {"config": text})
    with pytest.raises(ConfigError, match=r"^engine must be .* got 1 \(.*m\.safetensors\)"):
        load_detector(path, "engine.backend=torch")


@pytest.mark.parametrize("field", ["variant", "preprocessing", "classes", "config"])
def test_what_a_detector_s_file_must_state_is_missed_by_name(changed: Any, tmp_path: Path, field: str) -> None:
    path = changed(tmp_path / "m.safetensors", {}, (field,))
    with pytest.raises(DataError, match=rf"{field}.*\(.*m\.safetensors\)"):
        load_detector(path)


def test_a_setting_of_the_config_is_named_with_the_file(made: RunFolder, changed: Any, tmp_path: Path) -> None:
    path = changed(tmp_path / "m.safetensors", {"config": config_with(made, "colour: blue")})
    with pytest.raises(ConfigError, match=r"^unknown setting colour = 'blue' \(.*m\.safetensors\)"):
        load_detector(path)


def test_the_command_says_it_in_one_line(changed: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = changed(tmp_path / "m.safetensors", {"classes": ["a\nb", "c"]})
    assert run_command("detect", [str(path), str(tmp_path), "--out", str(tmp_path / "out")]) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.count("\n") == 1
    assert captured.err.startswith("detect: ")
