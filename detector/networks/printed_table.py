"""The last two columns of Table 1 as printed (arXiv 1409.4842), beside what the network has."""

import textwrap
from collections.abc import Mapping
from typing import NamedTuple

from detector.networks.backbones import backbone_facts
from detector.networks.backbones.base import Variant
from detector.networks.backbones.googlenet import DESIGNS
from detector.networks.layer_table import LayerRow, describe, total

KIBI = 1024  # the K of the paper's params
MEGA = 10**6  # the M of its ops
TOLERANCE = 0.01  # of a printed figure
LINE = 100  # characters of a line under the table


class Printed(NamedTuple):
    """A row of the paper: `params` in K, to `digit`, and `ops` in M."""

    params: float
    ops: float
    digit: float = 1.0


PRINTED = {
    "conv1": Printed(2.7, 34, digit=0.1),
    "conv2": Printed(112, 360),
    "3a": Printed(159, 128),
    "3b": Printed(380, 304),
    "4a": Printed(364, 73),
    "4b": Printed(437, 88),
    "4c": Printed(463, 100),
    "4d": Printed(580, 119),
    "4e": Printed(840, 170),
    "5a": Printed(1072, 54),
    "5b": Printed(1388, 71),
    "linear": Printed(1000, 1),
}
PRINTED_FOR = ("paper", 224, 1000)  # variant, size and classes of the paper's table

LEGEND = """\
One crop. K is 1024 and M is 10^6, as in the paper. "weights" are those of convolutions and linear layers, each of
them one multiply-add a cell of its layer; "parameters" has biases or batch norm besides."""
AUXILIARY = " The auxiliary heads, for training only, are not in the total."
CONV1 = """\
the 7x7 convolution of the table has 9,408 weights; 2.7K, here thousands, and 34M fit a factorised one. Separable
with depth multiplier 8, as in Google's next networks, it has 49 x 24 + 24 x 64 = 2,712 and 34.0M; 7x1 with 1x7 has
2 x 7 x 3 x 64 = 2,688 and 33.7M."""
COLUMNS = """\
the printed ops follow from the printed widths, the printed params do not: ops are params times cells, so that the
paper's two columns contradict each other."""
REDUCE5 = """\
48 channels before the 5x5 in place of 32, as in Google's inception5h, would give 1081K and 54.2M: the ops as
printed, the params within 1%. Of single widths that are multiples of 8 only an input of 928 channels gives both
1072K and 54M; 4e puts out 832."""
WIDTH_4A = """\
not marked, but a 3x3 of 204 channels in 4a in place of 208, as in inception5h, fits better: 363K (364K with
biases) and 73M in 4a, 437K in 4b."""
DIFFERENCES = {  # the rows that are marked, and why
    ("conv1",): CONV1,
    ("4c", "4d", "5b"): COLUMNS,
    ("5a",): REDUCE5,
}


def describe_text(variant: Variant, size: int | None = None, classes: int = 1000) -> str:
    """The rows of `describe` as a table, beside the printed columns where they are of the same network."""
    facts = backbone_facts(variant)
    size = facts.crop_size if size is None else size
    rows = describe(variant, size, classes)
    printed = PRINTED if (variant, size, classes) == PRINTED_FOR else {}
    inference = [row for row in rows if not row.auxiliary]
    legend = LEGEND + (AUXILIARY if len(inference) < len(rows) else "")
    lines = [
        f"{facts.title}: input {size}x{size}x3, {classes} classes",
        "",
        f"{'layer':14}{'output':>13}{'parameters':>12}{'weights':>10}{'multiply-adds':>15}"
        + (f"{'printed params':>18}{'ops':>7}" if printed else ""),
        *(_line(row, printed.get(row.name)) for row in [*inference, total(rows)]),
        *(_line(row) for row in rows if row.auxiliary),
        "",
        *(_wrapped(note) for note in [legend, *(_differences() if printed else _design(variant))]),
    ]
    return "\n".join(lines) + "\n"


def differs(row: LayerRow, printed: Printed) -> bool:
    """Whether a count is more than 1%, and more than half a unit of the last digit, off the printed figure."""
    figures = (
        (row.weights / KIBI, printed.params, printed.digit),
        (row.multiply_adds / MEGA, printed.ops, 1.0),
    )
    return any(abs(count - figure) > max(TOLERANCE * figure, digit / 2) for count, figure, digit in figures)


def _line(row: LayerRow, printed: Printed | None = None) -> str:
    channels, height, width = row.output
    line = f"{row.name:14}{f'{height}x{width}x{channels}':>13}"
    if row.parameters:
        weights, multiply_adds = f"{row.weights / KIBI:.1f}K", f"{row.multiply_adds / MEGA:.1f}M"
        line += f"{row.parameters:>12,}{weights:>10}{multiply_adds:>15}"
    if printed:
        line += f"{f'{printed.params:g}K':>18}{f'{printed.ops:g}M':>7}{'  *' if differs(row, printed) else ''}"
    return line


def _differences() -> list[str]:
    reasons = [f"* {', '.join(names)}: {reason}" for names, reason in DIFFERENCES.items()]
    return [*reasons, f"4a, 4b: {WIDTH_4A}"]


def _design(variant: Variant) -> list[str]:
    """What sets a variant of GoogLeNet apart from the paper's network; nothing of other networks."""
    if variant not in DESIGNS:
        return []
    design = DESIGNS[variant]
    facts: Mapping[str, bool] = {
        "batch norm in place of biases and of local response normalisation": design.batch_norm,
        f"{design.kernel5}x{design.kernel5} kernels in the 5x5 branches": design.kernel5 != 5,
        f"a {design.last_pool}x{design.last_pool} pool before 5a": design.last_pool != 3,
    }
    found = [fact for fact, holds in facts.items() if holds]
    where = "The paper's own figures stand beside those of paper at 224 pixels and 1000 classes."
    return [f"Differs from the paper: {'; '.join(found)}.", where] if found else [where]


def _wrapped(note: str) -> str:
    return textwrap.fill(note, LINE, subsequent_indent="  " if note.startswith("*") else "")
