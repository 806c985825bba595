"""The project's habits: each version is stated once, and what the pages and CI name is there."""

import ast
import re
import subprocess
from collections.abc import Iterator
from configparser import ConfigParser
from pathlib import Path
from typing import Any

import pytest
import yaml
from slow_tests import RUNS, is_slow

import detector

ROOT = Path(__file__).parents[1]
CHECKS = ("ruff", "mypy")


def text_of(name: str) -> str:
    return (ROOT / name).read_text(encoding="utf-8")


def yaml_of(name: str) -> Any:
    return yaml.safe_load(text_of(name))


@pytest.fixture
def setup_cfg() -> ConfigParser:
    parser = ConfigParser(interpolation=None)
    parser.read_string(text_of("setup.cfg"))
    return parser


def lines_of(setup_cfg: ConfigParser, section: str, option: str) -> list[str]:
    return [line for line in setup_cfg[section][option].splitlines() if line]


def targets() -> set[str]:
    """What `make` makes, by the line that says so."""
    return set(re.search(r"^\.PHONY: (.*)$", text_of("Makefile"), re.MULTILINE)[1].split())  # type: ignore[index]


def recipe(target: str) -> list[str]:
    """The commands of a target."""
    match = re.search(rf"^{target}:.*\n((?:\t.*\n)*)", text_of("Makefile"), re.MULTILINE)
    assert match, target
    return match[1].replace("\t", "").splitlines()


def steps() -> Iterator[str]:
    """The commands of the public checks."""
    for job in yaml_of(".github/workflows/tests.yml")["jobs"].values():
        yield from (step["run"] for step in job["steps"] if "run" in step)


def test_the_version_is_the_same_wherever_it_is_stated(setup_cfg: ConfigParser) -> None:
    version = setup_cfg["metadata"]["version"]
    assert detector.__version__ == version
    assert yaml_of("CITATION.cff")["version"] == version
    assert re.findall(r"^## (\S+)", text_of("CHANGELOG.md"), re.MULTILINE)[0] == version


def test_the_citation_names_the_project_its_licence_and_its_papers(setup_cfg: ConfigParser) -> None:
    citation = yaml_of("CITATION.cff")
    assert citation["title"] == setup_cfg["metadata"]["name"]
    assert citation["license"] == setup_cfg["metadata"]["license"]
    urls = {reference.get("url", reference.get("doi")) for reference in citation["references"]}
    papers = {f"https://arxiv.org/abs/{number}" for number in ("1409.4842", "1311.2524", "1312.2249", "1412.1441")}
    assert urls == papers | {"10.1007/s11263-013-0620-5"}


@pytest.mark.parametrize("name", CHECKS)
def test_setup_cfg_alone_states_the_version_of_a_check(name: str, setup_cfg: ConfigParser) -> None:
    stated = [line for line in lines_of(setup_cfg, "options.extras_require", "dev") if line.startswith(name)]
    assert len(stated) == 1
    assert re.fullmatch(rf"{name}==\d+\.\d+\.\d+", stated[0])
    for other in ("Makefile", ".github/workflows/tests.yml", ".ci/run", ".pre-commit-config.yaml", "ruff.toml"):
        assert not re.search(rf"{name}\W*(?:==|rev:|version:)", text_of(other)), other


def test_a_commit_is_checked_by_the_programs_that_make_lint_runs() -> None:
    repositories = yaml_of(".pre-commit-config.yaml")["repos"]
    assert [repository["repo"] for repository in repositories] == ["local"]  # another has versions of its own
    hooks = [hook["entry"].replace(" --force-exclude", "") for hook in repositories[0]["hooks"]]
    wanted = [line.replace("$(BIN)", ".venv/bin").removesuffix(" .") for line in recipe("lint")]
    assert sorted(hooks) == sorted(wanted)


def test_ci_tries_every_python_that_is_supported(setup_cfg: ConfigParser) -> None:
    name = "Programming Language :: Python :: "
    lines = lines_of(setup_cfg, "metadata", "classifiers")
    supported = [line.removeprefix(name) for line in lines if line.startswith(f"{name}3.")]
    jobs = yaml_of(".github/workflows/tests.yml")["jobs"]
    assert jobs["tests"]["strategy"]["matrix"]["python-version"] == supported
    oldest = setup_cfg["options"]["python_requires"].removeprefix(">=")
    assert supported[0] == oldest == jobs["lint"]["steps"][1]["with"]["python-version"]
    assert setup_cfg["mypy"]["python_version"] == oldest


def test_ci_s_wheel_trains_as_make_demo_does() -> None:
    shown = [line.strip() for step in steps() for line in step.splitlines()]
    for line in recipe("demo"):
        command = line.replace("$(BIN)/python tools/", "detector ").replace(".py ", " ")
        assert command.replace("$(DEMO)", "runs/demo").replace("configs/", "") in shown


@pytest.mark.parametrize("name", [".ci/run", ".github/workflows/tests.yml", "CONTRIBUTING.md", "README.md"])
def test_what_is_made_by_make_can_be_made(name: str) -> None:
    text = "\n".join(steps()) if name.endswith(".yml") else text_of(name)
    named = re.findall(r"(?:^\s*|`)make ([a-z-]+)", text, re.MULTILINE)
    assert named
    assert set(named) <= targets()


def test_make_says_what_there_is_to_make() -> None:
    said = dict(re.findall(r"^([a-z-]+):.*## (.+)$", text_of("Makefile"), re.MULTILINE))
    assert said.keys() == targets()
    assert ".DEFAULT_GOAL := help" in text_of("Makefile")


def test_the_types_travel_with_the_package(setup_cfg: ConfigParser) -> None:
    assert (ROOT / "detector" / "py.typed").is_file()
    assert lines_of(setup_cfg, "options.package_data", "detector") == ["py.typed"]


def test_a_file_that_is_no_module_is_data_of_the_package(setup_cfg: ConfigParser) -> None:
    listed = {
        path
        for package in setup_cfg["options.package_data"]
        for pattern in lines_of(setup_cfg, "options.package_data", package)
        for path in (ROOT / package.replace(".", "/")).glob(pattern)
    }
    found = (ROOT / "detector").rglob("*")
    files = {path for path in found if path.is_file() and "__pycache__" not in path.parts}
    assert listed == {path for path in files if path.suffix != ".py"}


def test_the_changelog_says_what_was_added_changed_and_fixed() -> None:
    for version in re.split(r"^## ", text_of("CHANGELOG.md"), flags=re.MULTILINE)[1:]:
        parts = re.findall(r"^### (.*)$", version, re.MULTILINE)
        assert parts == [part for part in ("Added", "Changed", "Fixed") if part in parts]


def test_what_contributing_names_is_there() -> None:
    named = re.findall(r"`((?:detector|tests|\.ci|\.github)/[\w./-]+)`", text_of("CONTRIBUTING.md"))
    assert len(named) > 8
    for name in named:
        assert "NAME" in name or (ROOT / name).exists(), name


def test_every_toy_extension_has_its_recipe() -> None:
    for toy in (ROOT / "tests").glob("toy_*.py"):
        assert f"`tests/{toy.name}`" in text_of("CONTRIBUTING.md")


def test_what_starts_a_process_or_asks_for_a_run_is_slow() -> None:
    assert is_slow(lambda: subprocess.run(["true"]))
    assert is_slow(lambda: helper())
    assert is_slow(lambda: None, ["tmp_path", "finished_run"])
    assert not is_slow(lambda: text_of("Makefile"), ["tmp_path", "tiny_data"])


def helper() -> None:
    subprocess.run(["true"], check=True)


def test_a_fixture_that_trains_a_run_is_known_as_one() -> None:
    for path in (ROOT / "tests").rglob("*.py"):
        for node in ast.parse(path.read_text(encoding="utf-8")).body:
            if isinstance(node, ast.FunctionDef) and any("fixture" in ast.unparse(d) for d in node.decorator_list):
                names = {name.id for name in ast.walk(node) if isinstance(name, ast.Name)}
                trains = names & {"run_training", "run_classification", "run_multibox"}
                assert not trains or node.name in RUNS, f"{path}: {node.name}"
