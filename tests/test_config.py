from pathlib import Path

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
    return MultiBoxConfig if "tools/train_multibox.py" in text else Config


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
        ("finetune:\n  steps: many\n", "finetune.steps is wrong: .*integer.*got 'many'"),
        ("finetune:\n  steps: -1\n", "finetune.steps is wrong: .*greater than or equal to 0, got -1"),
        ("finetune:\n  momentum: .nan\n", "finetune.momentum is wrong: .*finite"),
        (
            "network:\n  variant: paper2\n",
            "network.variant is wrong: .*'torchvision', got 'paper2'",
        ),
        ("region:\n  padding: 200\n", "region: padding must be under half of crop_size 224, got 200"),
        ("finetune:\n  positives: 200\n", "finetune: positives must be at most batch_size 128, got 200"),
        ("- a\n- b\n", "must hold `section: key: value` lines, got list"),
        ("a: [1\n", "must be valid YAML"),
        ("data: 3\n", "data is wrong"),
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
    ],
)
def test_a_wrong_override_is_named(tmp_path: Path, word: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        load(tmp_path, "seed: 1\n", word)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"nowhere\.yaml"):
        load_config(Config, tmp_path / "nowhere.yaml")


def test_settings_cannot_be_changed() -> None:
    with pytest.raises(ValueError, match="frozen"):
        Config().seed = 3  # type: ignore[misc]
