"""The rules of the architecture, read from the imports."""

import ast
import functools
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / "detector"
# a module imports only from lines above its own, or from its own package
LAYERS = [
    {"text"},
    {"errors"},
    {"records", "files", "parallel", "progress", "caches", "choices"},
    {"jit"},
    {"boxes", "bilinear", "config"},
    {"data", "proposals", "evaluation"},
    {"networks", "drawing"},
    {"training", "inference", "reports"},
    {"runs"},
    {"stages"},
    {"jobs"},
    {"synthetic"},  # this and what follows stand by themselves: the core does without
    {"bench"},
    {"commands"},
    {""},  # the package itself: what its users import
]
RANK = {room: rank for rank, rooms in enumerate(LAYERS) for room in rooms}
NUMPY_ROOMS = {room for room, rank in RANK.items() if rank <= RANK["data"]}
MODULES = sorted(PACKAGE.rglob("*.py"))


@functools.cache
def parsed(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"))


@functools.cache
def imported(path: Path) -> list[str]:
    """The dotted names of all modules that the file imports, also inside functions."""
    return list(imports_of(parsed(path)))


def imports_of(tree: ast.Module) -> Iterator[str]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield "." * node.level + (node.module or "")


def room_of(path: Path) -> str:
    """The top-level module or package below `detector` that the file belongs to; "" for detector itself."""
    first = path.relative_to(PACKAGE).parts[0]
    return "" if first == "__init__.py" else first.removesuffix(".py")


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(ROOT)))
def test_a_module_imports_only_from_the_lines_above_it(path: Path) -> None:
    room = room_of(path)
    for name in imported(path):
        assert not name.startswith("."), f"relative import {name}"
        if not name.startswith("detector."):
            continue
        other = name.split(".")[1]
        assert other == room or RANK[other] < RANK[room], f"{room} imports {name}"


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(ROOT)))
def test_torch_stays_out_of_the_numpy_rooms_and_numpy_out_of_the_networks(path: Path) -> None:
    packages = {name.split(".")[0] for name in imported(path)}
    if room_of(path) in NUMPY_ROOMS:
        assert not packages & {"torch", "torchvision", "safetensors"}
    if room_of(path) == "networks" and path.name != "npz_files.py":
        assert not packages & {"numpy", "cv2", "PIL"}


def test_only_one_file_knows_albumentations() -> None:
    users = [path for path in MODULES if "albumentations" in {name.split(".")[0] for name in imported(path)}]
    assert users == [PACKAGE / "data" / "augment.py"]


def test_only_one_file_knows_numba() -> None:  # it knows where machine code may be kept
    users = [path for path in MODULES if "numba" in {name.split(".")[0] for name in imported(path)}]
    assert users == [PACKAGE / "jit.py"]


# Who may read by other means than `detector.files`, which guards what comes from outside: readers of one kind of
# file, of what this project alone writes, and of what the system states.
READERS: dict[str, set[str]] = {
    "json.loads": {"files.py", "runs/lock.py", "runs/history.py"},
    "json.load": set(),
    "yaml.load": {"config/yaml_text.py"},
    "yaml.safe_load": set(),
    "torch.load": {"networks/weight_files/torch_files.py"},
    "np.load": {"data/exchange/given_proposals.py", "data/formats/index_cache.py", "runs/store.py"},
    "np.loadtxt": {"data/exchange/submission.py"},
    "PIL.Image.open": {"data/decoders/pillow.py"},
    "cv2.imread": set(),
    "read_text": {"data/classes.py", "networks/device.py", "bench/machine.py"},
    "read_bytes": {"runs/journal.py"},
}


def test_files_from_outside_are_read_in_one_place() -> None:
    found: dict[str, set[str]] = {name: set() for name in READERS}
    for path in MODULES:
        calls = [node.func for node in ast.walk(parsed(path)) if isinstance(node, ast.Call)]
        for call in calls:
            if isinstance(call, ast.Attribute):
                for name in {ast.unparse(call), call.attr} & READERS.keys():
                    found[name].add(path.relative_to(PACKAGE).as_posix())
    for name, modules in found.items():
        assert modules <= READERS[name], name


def test_packages_have_no_import_cycles() -> None:
    graph = {
        ".".join(path.relative_to(ROOT).with_suffix("").parts): [
            name for name in imported(path) if name.startswith("detector.")
        ]
        for path in MODULES
    }
    finished: set[str] = set()

    def visit(module: str, trail: tuple[str, ...]) -> None:
        assert module not in trail, f"cycle: {' > '.join([*trail, module])}"
        if module not in finished:
            for other in graph.get(module, []):
                visit(other, (*trail, module))
            finished.add(module)

    for module in graph:
        visit(module, ())


@pytest.mark.parametrize("folder", ["detector", "tools", "tests"])
def test_no_file_is_over_400_lines(folder: str) -> None:
    for path in (ROOT / folder).rglob("*.py"):
        assert len(path.read_text(encoding="utf-8").splitlines()) <= 400, path


def test_every_command_has_its_tool() -> None:
    from detector.commands import COMMANDS

    tools = {path.stem for path in (ROOT / "tools").glob("*.py")}
    shared = {"__init__", "options", "process"}
    modules = {path.stem for path in (PACKAGE / "commands").glob("*.py")} - shared
    assert tools == modules == set(COMMANDS)


SEE_ALL_SETTINGS = {"config", "runs", "jobs", "commands", "bench"}


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(ROOT)))
def test_a_stage_takes_the_sections_that_it_names_and_not_all_settings(path: Path) -> None:
    if room_of(path) in SEE_ALL_SETTINGS:
        return
    for node in ast.walk(parsed(path)):
        if isinstance(node, ast.FunctionDef):
            for argument in [*node.args.args, *node.args.kwonlyargs]:
                words = {name.id for name in ast.walk(argument) if isinstance(name, ast.Name)}
                assert "Config" not in words, node.name


def test_a_file_s_name_is_used_once() -> None:  # but a command's is what the user types
    names = Counter(path.name for path in MODULES if room_of(path) != "commands")
    assert [name for name, count in names.items() if count > 1] == ["__init__.py"]


MOST_IMPORTS = 15  # modules of the project that one imports


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(ROOT)))
def test_a_module_needs_no_more_than_one_can_hold_in_mind(path: Path) -> None:
    assert len({name for name in imported(path) if name.startswith("detector.")}) <= MOST_IMPORTS


def test_a_type_s_name_is_used_once() -> None:  # but what other libraries know a backbone by
    names: Counter[str] = Counter()
    for path in MODULES:
        body = parsed(path).body if path.parent.name != "adapters" else []
        names.update(node.name for node in body if isinstance(node, ast.ClassDef))
    assert [name for name, count in names.items() if count > 1] == []
