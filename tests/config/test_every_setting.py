"""Over all settings: whatever is given is refused in one line that names the key, or is of use."""

import datetime
import math
from collections.abc import Iterator
from typing import Any, NamedTuple, get_args, get_origin

import numpy as np
import pytest
from annotated_types import Ge, Gt, Le, Lt
from pydantic import BaseModel

from detector.config import ClassificationConfig, Config, MultiBoxConfig, Section, dump_config, parse_config
from detector.config.explain import limits_of
from detector.config.values import kinds_of
from detector.config.yaml_text import read_yaml_text
from detector.errors import ConfigError

EXPERIMENTS = (Config, ClassificationConfig, MultiBoxConfig)
ODD_NUMBERS = [10**400, 10**19, -(10**19), -1, 0, 1e300, -1e300, 5e-324, math.nan, math.inf, -math.inf, True, 1j]
ODD_TEXTS = ["abc", "", "1_000", "010", "0x10", "1:30", "nan", "9" * 5000, "../../x", "a\0b", "a\nb", "\udce9"]
ODD_OTHERS: list[Any] = [
    None,
    False,
    [],
    [[]],
    [None],
    [-1],
    [10**400],
    {},
    {"a": 1},
    {1: 2},
    datetime.date(2001, 1, 1),
    b"abc",
]
LONG_LISTS = [["a"] * 3_300, [1] * 3_300]


class Setting(NamedTuple):
    """A setting of an experiment, declared by `owner`; `limits` of it or of its elements, if they are numbers."""

    experiment: type[Section]
    owner: type
    key: tuple[str, ...]
    number: type[int] | type[float] | None
    is_list: bool
    limits: dict[type, Any]

    def set(self, value: object) -> Section:
        """The experiment with this setting alone."""
        tree: Any = value
        for name in reversed(self.key):
            tree = {name: tree}
        return parse_config(self.experiment, tree, "x.yaml")

    def __str__(self) -> str:
        return f"{self.experiment.__name__}-{'.'.join(self.key)}"


def settings_of(
    experiment: type[Section], section: type[BaseModel], above: tuple[str, ...] = ()
) -> Iterator[Setting]:
    for name, field in section.model_fields.items():
        key = (*above, name)
        declared, metadata = field.annotation, list(field.metadata)
        if isinstance(declared, type) and issubclass(declared, BaseModel):
            yield from settings_of(experiment, declared, key)
            continue
        lists = [kind for kind in kinds_of(declared) if get_origin(kind) is tuple]
        if lists:
            declared = get_args(lists[0])[0]
            metadata = list(getattr(declared, "__metadata__", ()))
        numbers = [kind for kind in kinds_of(declared) if kind in (int, float)]
        owner = next(each for each in section.__mro__ if name in each.__annotations__)
        yield Setting(experiment, owner, key, numbers[0] if numbers else None, bool(lists), limits_of(metadata))


ALL = [setting for experiment in EXPERIMENTS for setting in settings_of(experiment, experiment)]
SETTINGS = list({(setting.owner, setting.key[-1]): setting for setting in reversed(ALL)}.values())
NUMBERS = [setting for setting in SETTINGS if setting.number]


@pytest.mark.parametrize("setting", SETTINGS, ids=str)
def test_an_odd_value_is_refused_in_one_line_or_of_use(setting: Setting) -> None:
    for value in (*ODD_NUMBERS, *ODD_TEXTS, *ODD_OTHERS, *(LONG_LISTS if setting.is_list else ())):
        try:
            config = setting.set(value)
        except ConfigError as error:
            line = str(error)
            assert setting.key[-1] in line
            assert "\n" not in line
            assert len(line) < 400
            assert not any(word in line for word in ("Input should", "pydantic", "lax-or-strict"))
        else:
            if not setting.number:
                assert parse_config(setting.experiment, read_yaml_text(dump_config(config), "", ""), "") == config


@pytest.mark.parametrize("setting", NUMBERS, ids=str)
def test_a_number_is_no_switch_and_no_other_notation(setting: Setting) -> None:
    for value in (True, False, "1_000", "010", "0x10", "1:30", "abc", math.nan, math.inf, None):
        with pytest.raises(ConfigError, match=setting.key[-1]):
            setting.set([value] if setting.is_list else value)


@pytest.mark.parametrize("setting", NUMBERS, ids=str)
def test_a_number_has_bounds_that_are_of_use_themselves(setting: Setting) -> None:
    limits = setting.limits
    assert {Ge, Gt} & set(limits)
    assert {Le, Lt} & set(limits)
    for bound in limits.values():
        assert np.isfinite(np.float32(bound))
        assert setting.number is not int or -(2**63) <= bound < 2**63
        if bound:
            assert abs(np.float32(bound)) > 0


@pytest.mark.parametrize("setting", NUMBERS, ids=str)
def test_a_number_beyond_its_bounds_is_refused(setting: Setting) -> None:
    limits = setting.limits
    beyond = {Ge: -1, Gt: 0, Le: 1, Lt: 0}
    for kind, limit in limits.items():
        value = limit + beyond[kind]
        with pytest.raises(ConfigError, match=f"{setting.key[-1]} must be"):
            setting.set([value] if setting.is_list else value)
