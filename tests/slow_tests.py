"""Marks the tests that are slow, by what they ask for and call: nobody keeps a list of them."""

import inspect
from collections.abc import Callable, Iterable
from typing import Any

import pytest

# fixtures that hold a run of all stages
RUNS = {"entry", "finished", "finished_run", "mapped"}
# modules whose functions train or test one, or start processes
SOURCES = {
    "detector.jobs.train_detector",
    "detector.jobs.test_detector",
    "detector.jobs.train_classifier",
    "detector.jobs.train_multibox",
    "subprocess",
    "processes",
    "browsers",
}


def is_slow(function: Callable[..., Any], fixtures: Iterable[str] = ()) -> bool:
    """Whether a test asks for a run, or names what trains one or starts a process, itself or through a helper."""
    named = _named_by(function)
    helpers = [value for value in named if inspect.isfunction(value) and _origin(value) == _origin(function)]
    reached = [*named, *(value for helper in helpers for value in _named_by(helper))]
    return not RUNS.isdisjoint(fixtures) or any(_origin(value) in SOURCES for value in reached)


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Before `-m` chooses among the tests."""
    for item in items:
        if isinstance(item, pytest.Function) and is_slow(item.function, item.fixturenames):
            item.add_marker(pytest.mark.slow)


def _named_by(function: Callable[..., Any]) -> list[Any]:
    """What a function names of its module."""
    inner = inspect.unwrap(function)
    return [inner.__globals__[name] for name in inner.__code__.co_names if name in inner.__globals__]


def _origin(value: Any) -> str:
    """The module that a value is or was defined in."""
    return str(getattr(value, "__module__", None) or getattr(value, "__name__", ""))
