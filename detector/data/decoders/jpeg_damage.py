"""Damage in the middle of a JPEG: what decoders fill with some colour, often without a word.

Huffman codes fall into step again after damaged bytes: a decoder reads on and shows the rest of the picture
shifted or in wrong colours. Here each code is read as a decoder reads it, and what no encoder writes is told:
codes of no table, more coefficients than a block has, coefficients larger than those of any picture, blocks or
bytes too few or too many. A number that became another possible one cannot be seen.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from math import ceil
from typing import NamedTuple

import numpy as np

from detector.data.decoders.jpeg_codes import (
    BAD_CODE,
    BEYOND_BLOCK,
    COEFFICIENTS,
    LONGEST_CODE,
    PADDING,
    RUN_TOO_LONG,
    TOO_FEW_BYTES,
    TOO_LARGE,
    TOO_MANY_BYTES,
    Band,
    Bytes,
    Codes,
    code_table,
    read_scan,
)
from detector.records import Bool, Int64

MARKER = 0xFF
SEQUENTIAL, PROGRESSIVE = (0xC0, 0xC1), 0xC2
FRAMES = (*range(0xC0, 0xC4), *range(0xC5, 0xC8), *range(0xC9, 0xCC), *range(0xCD, 0xD0))
HUFFMAN_TABLES, QUANTISATION_TABLES, RESTART_INTERVAL, SCAN, END = 0xC4, 0xDB, 0xDD, 0xDA, 0xD9
FIRST_RESTART, LAST_RESTART = 0xD0, 0xD7
SIDE = 8  # pixels of a block
AC_TABLES = 0x10  # added to their number
NO_CODES: Codes = np.zeros(1 << LONGEST_CODE, np.int16)

REASONS = {
    BAD_CODE: "a code of no table",
    BEYOND_BLOCK: "a block of too many coefficients",
    TOO_LARGE: "a coefficient too large",
    TOO_FEW_BYTES: "the end before the last block",
    TOO_MANY_BYTES: "bytes after the last block",
    RUN_TOO_LONG: "the end before the last block",
}


class NotExamined(Exception):
    """The file is of another kind, or its markers cannot be followed."""


class Component(NamedTuple):
    """A channel of the picture: its blocks beside and above each other in a unit, its table of steps."""

    across: int
    down: int
    steps: int


@dataclass(frozen=True, eq=False)
class JpegFrame:
    """The picture that the scans make: components by name in the file.

    `low` (C, 64) is the lowest bit that was sent of each coefficient, -1 where none was; `known` says which
    coefficients (blocks, 64) of a component are not zero so far.
    """

    height: int
    width: int
    progressive: bool
    components: dict[int, Component]
    low: Int64
    known: dict[int, Bool]


@dataclass
class Tables:
    """Steps of quantisation (64,) and Huffman codes by number; units between restarts, 0: none."""

    steps: dict[int, Int64] = field(default_factory=dict)
    codes: dict[int, Codes] = field(default_factory=dict)
    interval: int = 0


def find_damage(content: bytes) -> str | None:
    """What is damaged in the compressed data of a JPEG, None where nothing is.

    NotExamined for arithmetic codes, lossless and 12-bit files, and where the markers cannot be followed.
    """
    try:
        return _find_damage(content)
    except (IndexError, KeyError, ValueError, ZeroDivisionError) as error:
        raise NotExamined(str(error)) from None


def frame_size(content: bytes) -> tuple[int, int]:
    """The (height, width) in the frame header of a JPEG; ValueError where none is reached."""
    segment = _frame_header(content)[1]
    return _number(segment[1:3]), _number(segment[3:5])


def is_progressive(content: bytes) -> bool:
    """Whether the picture of a JPEG is sent several times, each time finer; ValueError as above."""
    return _frame_header(content)[0] == PROGRESSIVE


def _frame_header(content: bytes) -> tuple[int, bytes]:
    """The marker and the segment of the frame header."""
    marker, segment, at = 0, b"", 2
    while marker not in FRAMES:
        try:
            marker, segment, at = _segment(content, at)
        except IndexError:
            raise ValueError("it has no frame header") from None
    return marker, segment


def _segment(content: bytes, at: int) -> tuple[int, bytes, int]:
    """The marker at `at`, what belongs to it, and the position behind that."""
    if content[at] != MARKER:
        raise ValueError(f"no marker at byte {at}")
    while content[at + 1] == MARKER:  # fill bytes
        at += 1
    marker = content[at + 1]
    if marker == END:
        return marker, b"", at + 2
    end = at + 2 + _number(content[at + 2 : at + 4])
    if not at + 4 <= end <= len(content):
        raise IndexError(f"no end of the segment at byte {at}")
    return marker, content[at + 4 : end], end


def _number(two: bytes) -> int:
    return int.from_bytes(two, "big")


def _find_damage(content: bytes) -> str | None:
    tables, frame, at = Tables(), None, 2
    while True:
        marker, segment, at = _segment(content, at)
        if marker in FRAMES:
            frame = _frame(marker, segment)
        elif marker == SCAN and frame:
            damage, at = _scan(content, at, segment, frame, tables)
            if damage:
                return damage
        elif marker == END and frame:
            return "the end before the last scan" if _lacks_scans(frame) else None
        else:
            _read_tables(marker, segment, tables)


def _lacks_scans(frame: JpegFrame) -> bool:
    """Whether a component never came, or lowest bits of coefficients whose higher bits did."""
    return bool(np.any(frame.low[:, 0] < 0) or np.any(frame.low > 0))


def _read_tables(marker: int, segment: bytes, tables: Tables) -> None:
    """Take up what a segment defines; others are left alone."""
    if marker == RESTART_INTERVAL:
        tables.interval = _number(segment[:2])
    while segment and marker == QUANTISATION_TABLES:
        kind, size = segment[0], 2 * COEFFICIENTS if segment[0] >> 4 else COEFFICIENTS
        steps = np.frombuffer(segment[1 : 1 + size], ">u2" if kind >> 4 else np.uint8)
        tables.steps[kind & 0xF] = steps.astype(np.int64)
        segment = segment[1 + size :]
    while segment and marker == HUFFMAN_TABLES:
        counts = np.frombuffer(segment[1 : 1 + LONGEST_CODE], np.uint8).astype(np.int64)
        end = 1 + LONGEST_CODE + int(counts.sum())
        tables.codes[segment[0]] = code_table(counts, np.frombuffer(segment[1 + LONGEST_CODE : end], np.uint8))
        segment = segment[end:]


def _frame(marker: int, segment: bytes) -> JpegFrame:
    if marker not in (*SEQUENTIAL, PROGRESSIVE) or segment[0] != SIDE:
        raise ValueError("a frame of another kind")
    rows = [segment[6 + 3 * c : 9 + 3 * c] for c in range(segment[5])]
    components = {name: Component(factors >> 4, factors & 0xF, steps) for name, factors, steps in rows}
    low = np.full((len(components), COEFFICIENTS), -1, np.int64)
    return JpegFrame(_number(segment[1:3]), _number(segment[3:5]), marker == PROGRESSIVE, components, low, {})


def _scan(content: bytes, at: int, segment: bytes, frame: JpegFrame, tables: Tables) -> tuple[str | None, int]:
    """What is damaged in the scan whose data begin at `at`, and where they end."""
    names, numbers, band = _scan_header(segment, frame)
    order = list(frame.components)
    frame.low[[order.index(name) for name in names], band[0] : band[1] + 1] = band[3]
    component, total = _units(frame, names)
    data, ends, stop = _intervals(content, at)
    units = np.diff(np.minimum(np.arange(len(ends) + 1) * (tables.interval or total), total))
    if units.sum() < total or np.any(units == 0):
        return "restart markers too few or too many", stop
    dc = _codes(tables, [number >> 4 for number in numbers], band[0] == 0 and band[2] == 0)
    ac = _codes(tables, [number & 0xF | AC_TABLES for number in numbers], band[1] > 0)
    steps = np.stack([tables.steps[frame.components[name].steps] for name in names])
    known = _known(frame, names, band, total)
    reason, unit = read_scan(data, ends, units, component, dc, ac, steps, band, frame.progressive, known)
    return (f"{REASONS[reason]} in unit {min(unit + 1, total)} of {total}" if reason else None), stop


def _scan_header(segment: bytes, frame: JpegFrame) -> tuple[bytes, bytes, Band]:
    """The components of a scan, the numbers of their tables, and which bits of which coefficients it holds."""
    end = 1 + 2 * segment[0]
    first, last, bits = segment[end : end + 3]
    if not frame.progressive:
        first, last, bits = 0, COEFFICIENTS - 1, 0
    if not first <= last < COEFFICIENTS:
        raise ValueError("a scan of coefficients that are none")
    return segment[1:end:2], segment[2:end:2], (first, last, bits >> 4, bits & 0xF)


def _known(frame: JpegFrame, names: bytes, band: Band, total: int) -> Bool:
    """Which coefficients (blocks, 64) of the scan's component are not zero; (1, 64) where it needs none."""
    if not frame.progressive or band[0] == 0:
        return np.zeros((1, COEFFICIENTS), np.bool_)
    return frame.known.setdefault(names[0], np.zeros((total, COEFFICIENTS), np.bool_))


def _codes(tables: Tables, numbers: Sequence[int], needed: bool) -> Codes:
    """The tables (C, 65536) with these numbers; KeyError where one that is needed was not given."""
    return np.stack([tables.codes[number] if needed else NO_CODES for number in numbers])


def _units(frame: JpegFrame, names: bytes) -> tuple[Int64, int]:
    """Which of the scan's components the blocks of a unit are of, and the number of units (A.2)."""
    every = frame.components.values()
    across, down = max(one.across for one in every), max(one.down for one in every)
    if len(names) == 1:  # its blocks one by one, none outside of the picture
        one = frame.components[names[0]]
        columns = ceil(ceil(frame.width * one.across / across) / SIDE)
        return np.zeros(1, np.int64), columns * ceil(ceil(frame.height * one.down / down) / SIDE)
    blocks = [frame.components[name].across * frame.components[name].down for name in names]
    total = ceil(frame.width / (SIDE * across)) * ceil(frame.height / (SIDE * down))
    return np.repeat(np.arange(len(names)), blocks), total


def _intervals(content: bytes, at: int) -> tuple[Bytes, Int64, int]:
    """A scan's data without stuffed bytes and markers, where its intervals end in them, and its own end."""
    data = np.frombuffer(content, np.uint8)[at:]
    after = np.flatnonzero(data[:-1] == MARKER) + 1
    after = after[data[after] != MARKER]
    is_restart = (data[after] >= FIRST_RESTART) & (data[after] <= LAST_RESTART)
    stop = after[~is_restart & (data[after] != 0)][0] - 1
    is_restart, after = is_restart[after <= stop], after[after <= stop]
    keep = np.ones(stop, np.bool_)
    keep[after] = False
    keep[after[is_restart] - 1] = False
    left_out = np.cumsum(1 + is_restart)[is_restart]  # up to and with each restart marker
    ends = np.append(after[is_restart] + 1 - left_out, np.count_nonzero(keep))
    return np.concatenate([data[:stop][keep], np.full(PADDING, MARKER, np.uint8)]), ends, at + int(stop)
