"""Judge region proposals by how well they cover a split's objects: recall by IoU and by number of boxes."""

import argparse
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from tqdm import tqdm

from detector.commands.options import a_name, a_path, config_parser, whole_number
from detector.config import Config, load_config
from detector.config.limits import REGIONS
from detector.data.dataset import Dataset
from detector.data.exchange.given_proposals import GivenProposals
from detector.data.readers import open_dataset
from detector.errors import ConfigError, DataError
from detector.evaluation.recall import CURVE_BUDGETS, counted_objects, measure_coverage
from detector.records import Array, Proposals
from detector.reports.recall_report import recall_text, recall_tree, write_recall_report
from detector.runs.environment import environment_notes
from detector.runs.folder import RunFolder
from detector.runs.lock import owned
from detector.runs.split import check_images, split_slug
from detector.runs.store import PROPOSAL_FIELDS, Store, read_proposals

BUDGETS = (100, 200, 500, 1000, 2000)
BEYOND = 1.0  # pixels beyond its image where a box is taken for another image's


@dataclass(frozen=True)
class ProposalSource:
    """The proposals of every image of a data set, by position, and notes for the report."""

    path: Path
    read: Callable[[int], Proposals]
    notes: tuple[str, ...] = ()


def main(arguments: Sequence[str] | None = None) -> int:
    """Write recall.json, report.md and report.html; print the table of recalls and the report's path."""
    options = _parse(arguments)
    config = load_config(Config, options.config, options.overrides)
    run = RunFolder(options.run or Path("runs") / config.name)
    out = options.out or run.path / f"recall_{split_slug(options.split)}"
    with owned(out):
        return _judge(options, config, run, out)


def _judge(options: argparse.Namespace, config: Config, run: RunFolder, out: Path) -> int:
    slug = split_slug(options.split)
    paths = named_paths(options.proposals or [str(run.stage("propose", slug).folder)])
    dataset = open_dataset(config.data, options.split)
    objects = counted_objects(dataset.objects, dataset.blacklist)
    sources = {name: open_source(path, dataset) for name, path in paths.items()}
    coverages = {
        name: measure_coverage(objects, _boxes(source, dataset, name), [*CURVE_BUDGETS, *options.budgets])
        for name, source in sources.items()
    }
    table = recall_text(recall_tree(coverages, dataset.classes, options.budgets))
    page = write_recall_report(
        out,
        coverages,
        dataset.classes,
        options.budgets,
        _origin(dataset, len(objects.labels), sources),
        title=f"Proposal recall: {config.name}",
    )
    sys.stdout.write(f"{table}\nreport: {page}\n")
    return 0


def named_paths(words: Sequence[str]) -> dict[str, Path]:
    """The paths of NAME=PATH words by name; without a name it is that of the run, or of the file or folder."""
    paths: dict[str, Path] = {}
    for word in words:
        name, separator, rest = word.partition("=")
        named = bool(separator and name) and not Path(word).exists()
        path = Path(rest if named else word)
        name = name if named else _name_of(path)
        if name in paths:
            raise ConfigError(f"names of proposals must differ, got {name} twice; write NAME=PATH")
        paths[name] = path
    return paths


def open_source(path: Path, dataset: Dataset) -> ProposalSource:
    """A store, the folder of the stage that made one, or a file of given proposals."""
    if path.is_file():
        given = GivenProposals.open(path, dataset)
        return ProposalSource(path, given.read, given.notes)
    if not path.is_dir():
        raise DataError(f"proposals must be a folder of `propose`, or an .npz or .json file, got none at {path}")
    folder = path / "store" if (path / "store").is_dir() else path
    check_images(folder.parent, dataset)
    store = Store.open(folder)
    if set(store.fields) != set(PROPOSAL_FIELDS):
        wanted, got = ", ".join(PROPOSAL_FIELDS), ", ".join(store.fields)
        raise DataError(f"store of proposals must have the fields {wanted}, got {got} ({path})")
    if len(store) != len(dataset):
        raise DataError(f"store must be of the {len(dataset)} images of {dataset.name}, got {len(store)} ({path})")
    store = Store.open(folder, fields=PROPOSAL_FIELDS)

    def read(position: int) -> Proposals:
        proposals = read_proposals(store, position)
        height, width = dataset.sizes[position]
        if (proposals.boxes > [[width + BEYOND, height + BEYOND] * 2]).any():
            image = f"{dataset.image_ids[position]} of {width} x {height} pixels"
            raise DataError(f"boxes of a store must be inside their image, got others for {image} ({path})")
        return proposals

    return ProposalSource(path, read)


def _parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = config_parser("eval_proposals", __doc__, "configs/ilsvrc_det.yaml")
    parser.add_argument("--split", type=a_name, action="append", required=True, help="split; several are joined")
    parser.add_argument(
        "--proposals",
        nargs="+",
        action="extend",
        metavar="[NAME=]PATH",
        help="stores of `propose`, or .npz and .json files, to compare (the run's own store of the split)",
    )
    parser.add_argument(
        "--budgets",
        nargs="+",
        type=whole_number(1, REGIONS),
        default=list(BUDGETS),
        help="numbers of boxes an image (%(default)s)",
    )
    parser.add_argument("--out", type=a_path, help="folder of the report (RUN/recall_SPLIT)")
    return parser.parse_intermixed_args(arguments)


def _name_of(path: Path) -> str:
    parts = path.parts
    return parts[parts.index("stages") - 1] if "stages" in parts[1:] else path.stem


def _boxes(source: ProposalSource, dataset: Dataset, name: str) -> Iterator[Array]:
    """The boxes of every image, in order."""
    for position in tqdm(range(len(dataset)), desc=name, unit="image", leave=False):
        yield source.read(position).boxes


def _origin(dataset: Dataset, counted: int, sources: Mapping[str, ProposalSource]) -> dict[str, str]:
    """Where the numbers come from."""
    left_out = len(dataset.objects.labels) - counted
    return {
        "Data": f"{dataset.name}: {len(dataset)} images, {counted} objects"
        + (f" and {left_out} that do not count (difficult, crowd, empty or blacklisted)" if left_out else ""),
        "Notes on the data": "; ".join(dataset.notes) or "none",
        **{f"Proposals {name}": "; ".join([str(s.path), *s.notes]) for name, s in sources.items()},
        **environment_notes(),
    }
