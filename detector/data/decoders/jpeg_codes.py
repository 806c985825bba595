"""Reading the Huffman codes of a JPEG's scan, to see whether they make sense and for nothing else.

ITU-T T.81, annex F (sequential) and G (progressive). Positions are in bits; a negative one is a reason to stop.
"""

import numpy as np
from numpy.typing import NDArray

from detector.jit import njit
from detector.records import Bool, Int64

Bytes = NDArray[np.uint8]
Band = tuple[int, int, int, int]  # first and last coefficient, high and low bit of successive approximation
Codes = NDArray[np.int16]  # by the next 16 bits: length of the code << 8 | its symbol; 0: no code

COEFFICIENTS = 64  # of a block
LONGEST_CODE = 16  # bits
END_OF_BLOCK, ZEROS_16 = 0, 0xF0  # symbols
# The coefficients of a picture are within 1,024; encoders that let the edges of white overshoot reach 1,264.
LARGEST = 1280
PADDING = 512  # bytes to stand behind the data: more than the codes of one block can ask for

BAD_CODE, BEYOND_BLOCK, TOO_LARGE, TOO_FEW_BYTES, TOO_MANY_BYTES, RUN_TOO_LONG = range(-1, -7, -1)


def code_table(counts: Int64, symbols: Bytes) -> Codes:
    """The table (65,536,) of the Huffman codes: `counts` (16,) of each length, their `symbols` in order."""
    lengths = np.repeat(np.arange(1, LONGEST_CODE + 1), counts)
    filled = np.repeat((lengths << 8 | symbols).astype(np.int16), 1 << (LONGEST_CODE - lengths))
    return np.concatenate([filled, np.zeros((1 << LONGEST_CODE) - len(filled), np.int16)])


@njit(nogil=True)
def read_scan(
    data: Bytes,
    ends: Int64,
    units: Int64,
    component: Int64,
    dc: Codes,
    ac: Codes,
    steps: Int64,
    band: Band,
    progressive: bool,
    known: Bool,
) -> tuple[int, int]:
    """(reason, unit) where the scan stops to make sense; (0, 0) where it is whole.

    `data` are its bytes without stuffing and markers, PADDING behind them; interval i ends before byte
    `ends[i]` and holds `units[i]` units, each of blocks of the components `component`. By component: `dc` and
    `ac` tables (C, 65536), `steps` (C, 64) of quantisation. `known` (blocks, 64): the
    coefficients that earlier scans of a progressive file made non-zero.
    """
    start, unit = 0, 0
    run = np.zeros(1, np.int64)
    for i in range(len(ends)):
        at = start * 8
        before = np.zeros(len(steps), np.int64)
        run[0] = 0
        for _ in range(units[i]):
            for c in component:
                row = known[unit % len(known)]
                at = _block(data, at, before, c, dc[c], ac[c], steps[c], band, progressive, run, row)
                if at < 0:
                    return at, unit
            if at > ends[i] * 8:
                return TOO_FEW_BYTES, unit
            unit += 1
        if run[0] > 0:
            return RUN_TOO_LONG, unit
        if not _is_filling(data, at, ends[i]):
            return TOO_MANY_BYTES, unit
        start = ends[i]
    return 0, 0


@njit(nogil=True)
def _block(
    data: Bytes,
    at: int,
    before: Int64,
    c: int,
    dc: Codes,
    ac: Codes,
    steps: Int64,
    band: Band,
    progressive: bool,
    run: Int64,
    known: Bool,
) -> int:
    """The position behind the codes of one block of component `c`."""
    first, last, high, low = band
    if first == 0:
        at = at + 1 if high > 0 else _first_dc(data, at, dc, steps[0] << low, before, c)
    if last == 0 or at < 0:
        return at
    if not progressive:
        return _sequential_ac(data, at, ac, steps)
    if high == 0:
        return _first_ac(data, at, ac, steps, band, run, known)
    return _refined_ac(data, at, ac, band, run, known)


@njit(nogil=True)
def _first_dc(data: Bytes, at: int, table: Codes, step: int, before: Int64, c: int) -> int:
    code = table[_peek(data, at)]
    size = code & 0xFF
    if code == 0 or size >= LONGEST_CODE:
        return BAD_CODE
    at += code >> 8
    if size > 0:
        before[c] += _number(data, at, size)
    return TOO_LARGE if abs(before[c]) * step > LARGEST + step else at + size


@njit(nogil=True)
def _sequential_ac(data: Bytes, at: int, table: Codes, steps: Int64) -> int:
    k = 1
    while k < COEFFICIENTS:
        code = table[_peek(data, at)]
        if code == 0:
            return BAD_CODE
        at += code >> 8
        size = code & 0xF
        if size == 0:
            if code & 0xFF != ZEROS_16:
                return at
            k += 16
            continue
        k += (code & 0xFF) >> 4
        if k >= COEFFICIENTS:
            return BEYOND_BLOCK
        if abs(_number(data, at, size)) * steps[k] > LARGEST + steps[k]:
            return TOO_LARGE
        at += size
        k += 1
    return at if k == COEFFICIENTS else BEYOND_BLOCK


@njit(nogil=True)
def _first_ac(data: Bytes, at: int, table: Codes, steps: Int64, band: Band, run: Int64, known: Bool) -> int:
    if run[0] > 0:
        run[0] -= 1
        return at
    k, last, low = max(band[0], 1), band[1], band[3]
    while k <= last:
        code = table[_peek(data, at)]
        if code == 0:
            return BAD_CODE
        at += code >> 8
        zeros, size = (code & 0xFF) >> 4, code & 0xF
        if size == 0 and zeros < 15:
            run[0] = _run(data, at, zeros) - 1
            return at + zeros
        if size == 0:
            k += 16
            continue
        k += zeros
        if k > last:
            return BEYOND_BLOCK
        step = steps[k] << low
        if abs(_number(data, at, size)) * step > LARGEST + step:
            return TOO_LARGE
        known[k] = True
        at += size
        k += 1
    return at if k == last + 1 else BEYOND_BLOCK


@njit(nogil=True)
def _refined_ac(data: Bytes, at: int, table: Codes, band: Band, run: Int64, known: Bool) -> int:
    k, last = max(band[0], 1), band[1]
    while k <= last and run[0] == 0:
        code = table[_peek(data, at)]
        size, zeros = code & 0xF, (code & 0xFF) >> 4
        if code == 0 or size > 1:
            return BAD_CODE
        at += (code >> 8) + size
        if size == 0 and zeros < 15:
            run[0] = _run(data, at, zeros)
            at += zeros
            break
        while k <= last and (known[k] or zeros > 0):  # over so many unknown ones, a bit for each known
            if known[k]:
                at += 1
            else:
                zeros -= 1
            k += 1
        if k > last:
            return BEYOND_BLOCK
        if size > 0:
            known[k] = True
        k += 1
    if run[0] > 0:
        run[0] -= 1
        at += int(known[k : last + 1].sum())
    return at


@njit(nogil=True)
def _run(data: Bytes, at: int, bits: int) -> int:
    """How many blocks end here, this one with them (G.1.2.2)."""
    return (1 << bits) + (_peek(data, at) >> (LONGEST_CODE - bits))


@njit(nogil=True)
def _number(data: Bytes, at: int, bits: int) -> int:
    """The number of `bits` bits, at least one (figure F.12)."""
    value = _peek(data, at) >> (LONGEST_CODE - bits)
    return value if value >> (bits - 1) else value - (1 << bits) + 1


@njit(nogil=True)
def _peek(data: Bytes, at: int) -> int:
    """The next 16 bits."""
    byte = at >> 3
    three = (int(data[byte]) << 16) | (int(data[byte + 1]) << 8) | int(data[byte + 2])
    return (three >> (8 - (at & 7))) & 0xFFFF


@njit(nogil=True)
def _is_filling(data: Bytes, at: int, end: int) -> bool:
    """Whether what is left of an interval is less than a byte, or bytes all alike, as some encoders fill up."""
    left = data[(at + 7) >> 3 : end]
    return bool(np.all(left == 0) or np.all(left == 0xFF))
