import math

import numpy as np

from detector.records import Float64, Report
from detector.reports.curves import COLOURS, curve_keys, curves_svg, precision_at, sparkline


def made_up(ap: Float64, objects: int, curves: list[tuple[Float64, Float64]]) -> Report:
    counts = np.full(len(ap), objects, np.int64)
    recall, precision = zip(*curves, strict=True)
    return Report("voc2010", ap, counts, counts, 0.5, 0.5, 0.5, recall, precision, {})


def many(count: int) -> Report:
    random = np.random.default_rng(0)
    curves = [(np.linspace(0.1, 0.9, 9), np.sort(random.random(9))[::-1]) for _ in range(count)]
    return made_up(random.random(count), 1, curves)


def test_few_curves_have_a_key_each_and_colours_begin_again_dashed() -> None:
    keys = curve_keys(many(8), tuple("abcdefgh"))
    assert [key.name for key in keys] == list("abcdefgh")
    assert len({(key.colour, key.dashes) for key in keys}) == 8
    assert keys[6].colour == COLOURS[0]


def test_two_hundred_curves_are_summed_up() -> None:
    assert curve_keys(many(200), tuple(map(str, range(200)))) == []
    assert "mean of the classes" in curves_svg(many(200))


def test_curves_without_any_object_are_empty_axes() -> None:
    nothing = made_up(np.array([math.nan]), 0, [(np.empty(0), np.empty(0))])
    assert curves_svg(nothing).startswith("<svg")


def test_precision_at_a_recall_is_the_best_from_there_on() -> None:
    recall, precision = np.array([0.25, 0.5, 0.5, 0.75]), np.array([1.0, 0.5, 0.4, 0.6])
    assert precision_at(recall, precision, np.array([0, 0.25, 0.3, 0.75, 0.8])).tolist() == [1, 1, 0.6, 0.6, 0]
    assert precision_at(np.empty(0), np.empty(0), np.array([0.0, 1.0])).tolist() == [0, 0]
    assert precision_at(np.array([math.nan]), np.array([0.0]), np.array([0.5])).tolist() == [0]


def test_sparkline_ends_where_the_curve_does() -> None:
    assert sparkline(np.array([0.04]), np.array([1.0])) == "M0 0L4 0"
    assert sparkline(np.array([0.0]), np.array([0.0])) == ""
