"""Tell what results lie in a run folder, how old and how large, and remove what is asked for."""

import argparse
import sys
from collections.abc import Sequence

from detector.commands.options import Parser, a_name, a_path, number_between
from detector.errors import DataError
from detector.runs.folder import RunFolder
from detector.runs.results import FoundResult, find_results, remove_results

LONGEST_AGE = 36_500  # days
UNITS = ("B", "kB", "MB", "GB", "TB")


def main(arguments: Sequence[str] | None = None) -> int:
    """Print the results; with --unused, --older or --key remove those, and say how many bytes they had."""
    options = _parse(arguments)
    found = find_results(options.run)
    chosen = choose(found, options.unused, options.older, options.key)
    if not (options.unused or options.key or options.older is not None):
        sys.stdout.write(results_text(found))
        return 0
    if chosen and not options.dry_run:
        with RunFolder(options.run).lock() as lock:
            lock.take()
            remove_results(chosen)
    word = "would remove" if options.dry_run else "removed"
    size = size_text(sum(each.size for each in chosen))
    sys.stdout.write(f"{results_text(chosen)}{word} {len(chosen)} of {len(found)} results, {size}\n")
    return 0


def choose(
    found: Sequence[FoundResult], unused: bool, older: float | None, keys: Sequence[str]
) -> list[FoundResult]:
    """The results with one of the `keys`, or else the unused ones; of these those `older` than so many days.

    DataError for a key that none has.
    """
    missing = sorted(set(keys) - {each.key for each in found})
    if missing:
        raise DataError(f"--key must be that of a result, got {missing[0]}")
    if keys:
        found = [each for each in found if each.key in keys]
    elif unused or older is not None:
        found = [each for each in found if not each.is_present]
    return [each for each in found if older is None or each.days > older]


def results_text(found: Sequence[FoundResult]) -> str:
    """A line for each result."""
    header = f"{'stage':32} {'key':16} {'used':5}{'whole':6}{'days':>8}{'size':>10}\n"
    lines = (
        f"{each.stage:32} {each.key or 'older version':16} {'yes' if each.is_present else 'no':5}"
        f"{'yes' if each.is_done else 'no':6}{each.days:>8.1f}{size_text(each.size):>10}\n"
        for each in found
    )
    return "".join([header, *lines])


def size_text(size: float) -> str:
    """Bytes in the unit that suits them."""
    for unit in UNITS[:-1]:
        if size < 1000:
            return f"{size:.0f} {unit}"
        size /= 1000
    return f"{size:.0f} {UNITS[-1]}"


def _parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = Parser(prog="clean", description=__doc__)
    parser.add_argument("run", type=a_path, help="run folder")
    parser.add_argument(
        "--unused", action="store_true", help="remove the results that the run's present settings do not use"
    )
    parser.add_argument(
        "--older",
        type=number_between(0, LONGEST_AGE),
        metavar="DAYS",
        help="of these only what is older; alone as with --unused",
    )
    parser.add_argument("--key", action="append", type=a_name, default=[], help="remove the results with this key")
    parser.add_argument("--dry-run", action="store_true", help="remove nothing, but say what would be removed")
    return parser.parse_args(arguments)
