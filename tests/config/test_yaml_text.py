import math
from typing import Any

import pytest
import yaml

from detector.config.yaml_text import read_yaml_text, read_yaml_words
from detector.errors import ConfigError

TENFOLD = "".join(
    f"{b}: &{b} [{', '.join(10 * [f'*{a}'])}]\n" for a, b in zip("abcdefgh", "bcdefghi", strict=True)
)
MERGED = "".join(f"{b}: &{b} {{<<: *{a}, {b}: 1}}\n" for a, b in zip("abcdefgh", "bcdefghi", strict=True))
CHAIN = "".join(f"a{i + 1}: &a{i + 1} [*a{i}]\n" for i in range(1000))


def read(text: str) -> Any:
    return read_yaml_text(text, "config", "x.yaml")


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("", None),
        ("a: 1\nb: [x, 'y', 2]", {"a": 1, "b": ["x", "y", 2]}),
        ("a: {b: true, c: no, d: ~, e: }", {"a": {"b": True, "c": False, "d": None, "e": None}}),
        ("[0, -5, +7, 0.5, .5, 5., 1.5e+3, -2.0e-6]", [0, -5, 7, 0.5, 0.5, 5.0, 1500.0, -2e-6]),
        ("[.inf, -.Inf]", [math.inf, -math.inf]),
        (
            "[1_000, 0x10, 010, 0b1, 1:30, 01.5, 1e4, 0x_]",
            ["1_000", "0x10", "010", "0b1", "1:30", "01.5", "1e4", "0x_"],
        ),
        ("['2001-01-01', !!str 5, 'no', =]", ["2001-01-01", "5", "no", "="]),
        pytest.param(f"[{'9' * 5000}]", ["9" * 5000], id="many digits"),
        ("a: |\n  two\n  lines\n", {"a": "two\nlines\n"}),
    ],
)
def test_values_are_what_a_person_reads(text: str, value: object) -> None:
    assert read(text) == value


def test_aliases_are_written_out_and_not_shared() -> None:
    tree = read("a: &x {b: 1}\nc: *x\n")
    tree["a"]["b"] = 2
    assert tree == {"a": {"b": 2}, "c": {"b": 1}}


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("a: &x {b: 1, c: 2}\nd: {b: 3, <<: *x}", {"b": 3, "c": 2}),
        ("a: &x {b: 1}\nc: &y {b: 2, c: 2}\nd: {<<: [*x, *y]}", {"b": 1, "c": 2}),
        ("a: &x {b: 1}\nc: &y {<<: *x, c: 2}\nd: {<<: *y}", {"b": 1, "c": 2}),
    ],
)
def test_a_merged_key_gives_way_to_those_given_and_to_earlier_maps(text: str, value: object) -> None:
    assert read(text)["d"] == value


def test_a_date_without_quotes_is_no_text() -> None:
    for text in ("2001-01-01", "2001-99-99", "2001-12-14 21:59:43.10"):
        value = read(text)
        assert not isinstance(value, str)
        assert repr(value) == text


@pytest.mark.parametrize(
    "value", ["1_000", "010", "0x10", "no", "1:30", "2001-01-01", "2001-1-1", "1e4", "=", "<<", ""]
)
def test_text_that_is_written_as_yaml_is_read_back(value: str) -> None:
    assert read(yaml.safe_dump({"a": value})) == {"a": value}


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("a: 1\nb: 2\na: 3", "line 3: key 'a' is given twice"),
        ("a: {b: 1, 'b': 2}", "line 1: key 'b' is given twice"),
        ("a:\n  <<: {b: 1, b: 2}", "line 2: key 'b' is given twice"),
        ("<<: {a: 1}\n<<: {b: 2}", "line 2: key << is given twice"),
        ("<<: 3", "line 1: << must be followed by a map"),
        ("1: a", "line 1: keys must be text (quote them), got 1"),
        ("on: a", "line 1: keys must be text (quote them), got on"),
        ("? [a]\n: b", "line 1: keys must be text (quote them), got a map or list"),
        (
            "a: !!python/object/apply:os.system [ls]",
            "line 1: tag 'tag:yaml.org,2002:python/object/apply:os.system'",
        ),
        ("a: !!bool maybe", "must be left out"),
        ("a: &a [*a]", "line 1: alias 'a' stands inside what it names"),
        ("a: [*b]", "line 1: found undefined alias 'b'"),
        pytest.param(f"a: &a [1, 2]\n{TENFOLD}", "more than", id="laughs"),
        pytest.param(f"a0: &a0 [1]\n{CHAIN}", "50 levels", id="chain"),
        pytest.param(f"x: &x [{','.join(1000 * '1')}]\ny: [{','.join(1000 * ['*x'])}]", "more than", id="wide"),
        pytest.param("[" * 100_000, "50 levels", id="deep flow"),
        pytest.param("- " * 10_000, "50 levels", id="deep lists"),
        pytest.param("{a: " * 10_000, "50 levels", id="deep maps"),
        pytest.param("a" * 1_000_001, "1000001 letters", id="long"),
        ("a: 1\n---\nb: 2", "line 2"),
        ("a: [1", "line 1"),
        ("a:\n\t- b", "line 2"),
        ("a: 1\nb: \0", "line 2: letter '\\x00' is not allowed"),
        ('"\\UFFFFFFFF"', ""),
        ("%YAML 2.0\n---\na", "line 1"),
    ],
)
def test_what_is_no_plain_yaml_is_told_in_one_line(text: str, reason: str) -> None:
    with pytest.raises(ConfigError) as caught:
        read(text)
    line = str(caught.value)
    assert line.startswith("config must be valid YAML, got x.yaml (")
    assert reason in line
    assert "\n" not in line


def test_a_chain_of_merges_is_read() -> None:
    assert len(read(f"a: &a {{x: 1}}\n{MERGED}")["i"]) == 9


def test_words_are_text_as_they_stand_and_so_are_keys() -> None:
    text = "names:\n  0: no\n  1: 2024-01-01\nempty:\nlist: [1, ~, 'x']"
    assert read_yaml_words(text, "YAML file", "here") == {
        "names": {"0": "no", "1": "2024-01-01"},
        "empty": "",
        "list": ["1", "~", "x"],
    }
    assert read_yaml_words("", "YAML file", "here") is None
    for wrong in ("a: 1\na: 2", "? [a]\n: b", "a: [", "a: !!python/name:os.system x"):
        with pytest.raises(ConfigError, match=r"^YAML file must be valid YAML, got here \("):
            read_yaml_words(wrong, "YAML file", "here")
