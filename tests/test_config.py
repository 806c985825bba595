import os
from pathlib import Path
from typing import Any

import pytest

from detector.config import ClassificationConfig, Config, MultiBoxConfig, dump_config, load_config
from detector.errors import ConfigError

CONFIGS = sorted((Path(__file__).parents[1] / "configs").glob("*.yaml"))


def load(tmp_path: Path, text: str, *overrides: str) -> Config:
    path = tmp_path / "x.yaml"
    path.write_text(text)
    return load_config(Config, path, overrides)


def kind_of(path: Path) -> type[Config] | type[ClassificationConfig] | type[MultiBoxConfig]:
    """The experiment that the file is of, by its first comment's command."""
    text = path.read_text()
    if "tools/train_cls.py" in text:
        return ClassificationConfig
    return MultiBoxConfig if "tools/train_multibox.py" in text and "tools/train_det.py" not in text else Config


@pytest.mark.parametrize("path", CONFIGS, ids=lambda path: path.stem)
def test_every_config_of_the_project_loads(path: Path) -> None:
    assert load_config(kind_of(path), path).name == path.stem


def test_an_empty_file_is_the_published_settings(tmp_path: Path) -> None:
    assert load(tmp_path, "").model_copy(update={"name": "detector"}) == Config()


def test_words_override_the_file(tmp_path: Path) -> None:
    config = load(tmp_path, "finetune:\n  steps: 5\n", "finetune.steps=7", "data.train=[a,b]", "seed=3")
    assert (config.finetune.steps, config.data.train, config.seed) == (7, ("a", "b"), 3)


def test_a_number_in_scientific_notation_is_a_number(tmp_path: Path) -> None:
    assert load(tmp_path, "", "finetune.learning_rate=1e-4").finetune.learning_rate == 1e-4


def test_dumped_settings_load_back_equal(tmp_path: Path) -> None:
    config = load(tmp_path, "", "network.weights=a/b.npz", "data.classes=[cat, dog]", "data.blacklist=list.txt")
    assert load(tmp_path, dump_config(config)) == config


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            "finetune:\n  learnig_rate: 1\n",
            "unknown setting finetune.learnig_rate = 1 .*did you mean finetune.learning_rate",
        ),
        ("fintune:\n  steps: 1\n", "unknown setting fintune .*did you mean finetune"),
        ("finetune:\n  steps: many\n", "finetune.steps must be a whole number from 0 to 1000000000, got 'many'"),
        ("finetune:\n  steps: -1\n", "finetune.steps must be a whole number from 0 to .*, got -1 "),
        ("finetune:\n  momentum: .nan\n", "finetune.momentum must be a number from 0 and under 1, got nan"),
        (
            "network:\n  variant: paper2\n",
            "network.variant must be paper, paper_bn, .* or [a-z0-9_]+, got 'paper2'",
        ),
        ("region:\n  padding: 200\n", "region.padding must be under half of crop_size 224, got 200"),
        ("finetune:\n  positives: 200\n", "finetune.positives must be at most batch_size 128, got 200"),
        ("- a\n- b\n", r"must hold `section: key: value` lines, got \['a', 'b'\]"),
        ("a: [1\n", "must be valid YAML"),
        ("data: 3\n", "data must be `key: value` lines, got 3 "),
        ("finetune:\n", "finetune must be `key: value` lines, got null "),
        ("seed: 1\nseed: 2\n", "line 2: key 'seed' is given twice"),
        ("seed: true\n", "seed must be a whole number from 0 to 9223372036854775807, got True "),
        ("seed: 1_000\n", "seed must be a whole number .*, got '1_000' "),
        ("seed: 010\n", "seed must be a whole number .*, got '010' "),
        ("seed: 2.0\n", "seed must be a whole number .*, got 2.0 "),
        ("seed: 0x_\n", "seed must be a whole number .*, got '0x_' "),
        pytest.param(f"seed: {'9' * 5000}\n", r"seed must be a whole number .*, got '9+\.\.\.9+' ", id="digits"),
        ("finetune: {learning_rate: true}\n", "finetune.learning_rate must be a number .*, got True "),
        ("finetune: {learning_rate: 1e400}\n", "finetune.learning_rate must be a number .*, got inf "),
        ("finetune: {mirror: 1}\n", "finetune.mirror must be true or false, got 1 "),
        ("finetune: {mirror: 'yes'}\n", "finetune.mirror must be true or false, got 'yes' "),
        (
            "data: {classes: [no, on, 1]}\n",
            r"data.classes: names must be text \(quote them\), got False at position 1 ",
        ),
        ("data: {classes: [a, 2001-01-01]}\n", r"data.classes: .*\(quote them\), got 2001-01-01 at position 2 "),
        ("data: {classes: 3}\n", r"data.classes must be a path, a list of names or null \(quote it\), got 3 "),
        ("data: {train: []}\n", "data.train must hold at least 1 of them, got 0 "),
        ("data: {root: ''}\n", "data.root must be a path of 1 to 4096 printable letters, got '' "),
        ('data: {root: "a\\0b"}\n', r"data.root must be a path .* letters, got 'a\\x00b' "),
        ("name: 2001-99-99\n", r"name must be text \(quote it\), got 2001-99-99 "),
        ("name: ../x\n", "name must be a folder's name that stays below runs, got '../x' "),
        ("name: /x\n", "name must be a folder's name that stays below runs, got '/x' "),
        ('name: "a\\nb"\n', r"name must be text of 1 to 1000 printable letters, got 'a\\nb' "),
        ("name: ''\n", "name must be text of 1 to 1000 printable letters, got '' "),
        ("region: {shared_side: [600, 5]}\n", "region.shared_side must be a list of .*, got 5 at position 2 "),
        ("engine: {device: meta}\n", "engine.device must be auto, cpu, cuda, cuda:1 or the like, got 'meta' "),
    ],
)
def test_a_wrong_setting_is_named_in_one_line(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message) as caught:
        load(tmp_path, text)
    assert "\n" not in str(caught.value)
    assert "x.yaml" in str(caught.value)


@pytest.mark.parametrize(
    ("word", "message"),
    [
        ("finetune.steps", "must read section.key=value"),
        ("=3", "must read section.key=value"),
        ("seed.x=3", "must name a setting inside a section"),
        ("seed=[", "must be valid YAML"),
        ("finetune={steps: 1, steps: 2}", "key 'steps' is given twice"),
        ("finetune..steps=1", "must read section.key=value"),
        (".=1", "must read section.key=value"),
        ("seed=\udce9", "must be valid YAML"),
        ("seed=true", "seed must be a whole number"),
    ],
)
def test_a_wrong_override_is_named(tmp_path: Path, word: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        load(tmp_path, "seed: 1\n", word)


@pytest.mark.parametrize(
    ("key", "hint"),
    [
        ("detect.foo", ""),
        ("proposals.multibox.foo", ""),
        ("detect.score", "; did you mean detect.min_score?"),
        ("detect.padding", "; did you mean region.padding?"),
        ("detecter", "; did you mean detect?"),
    ],
)
def test_what_was_meant_is_no_section_that_was_written_rightly(tmp_path: Path, key: str, hint: str) -> None:
    with pytest.raises(ConfigError) as caught:
        load(tmp_path, "seed: 1\n", f"{key}=1")
    assert str(caught.value) == f"unknown setting {key} = 1 ({tmp_path / 'x.yaml'}){hint}"


@pytest.mark.parametrize("word", [None, 3, ["detect.nms_iou=0.4"], b"seed=3"])
def test_an_override_that_is_no_text_is_refused(tmp_path: Path, word: Any) -> None:
    with pytest.raises(ConfigError, match=r"override must be text that reads section\.key=value, got "):
        load(tmp_path, "seed: 1\n", word)


@pytest.mark.parametrize("crops", ["[true]", "[1, 10.0]", "[2]", "[]", "['1']"])
def test_crops_are_the_numbers_that_are_known(tmp_path: Path, crops: str) -> None:
    path = tmp_path / "x.yaml"
    path.write_text(f"test: {{crops: {crops}}}\n")
    with pytest.raises(ConfigError, match=r"test\.crops must (be a list of 1, 10 or 144|hold at least 1)"):
        load_config(ClassificationConfig, path)


def test_one_name_or_side_stands_for_a_list_of_it(tmp_path: Path) -> None:
    config = load(tmp_path, "data: {train: a}\nregion: {shared_side: 500}\n")
    assert (config.data.train, config.region.shared_side) == (("a",), (500,))


def test_an_override_changes_one_of_two_sections_that_are_written_as_one(tmp_path: Path) -> None:
    config = load(tmp_path, "pretrain: &training {steps: 5}\nfinetune: *training\n", "finetune.steps=7")
    assert (config.pretrain.steps, config.finetune.steps) == (5, 7)


def test_a_byte_order_mark_is_no_part_of_the_text(tmp_path: Path) -> None:
    path = tmp_path / "x.yaml"
    path.write_bytes(b"\xef\xbb\xbfseed: 3\r\n")
    assert load_config(Config, path).seed == 3


def test_a_file_whose_name_is_not_utf8_gives_a_printable_name(tmp_path: Path) -> None:
    path = tmp_path / "caf\udce9.yaml"
    path.write_text("")
    assert load_config(Config, path).name == "caf\\udce9"


def test_a_config_is_a_regular_file(tmp_path: Path) -> None:
    pipe = tmp_path / "pipe.yaml"
    os.mkfifo(pipe)
    for path in (pipe, tmp_path, Path("/dev/zero")):
        with pytest.raises(ConfigError, match="config must be a readable file"):
            load_config(Config, path)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"nowhere\.yaml"):
        load_config(Config, tmp_path / "nowhere.yaml")


def test_settings_cannot_be_changed() -> None:
    with pytest.raises(ValueError, match="frozen"):
        Config().seed = 3  # type: ignore[misc]
