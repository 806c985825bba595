"""Long files of tests first, so that no core is idle in the end."""

import pytest

# Of two cores one compiles what is compiled once, while the other has what needs none of it.
FIRST = (
    "tests/proposals/test_selective_search.py",
    "tests/networks/test_onnx_export.py",
    "tests/fuzz/test_data_files.py",
    "tests/inference/test_backends.py",
)


def pytest_configure(config: pytest.Config) -> None:
    """Have xdist hand out the files in the order of the tests, and not by how many tests each has."""
    if hasattr(config.option, "loadscopereorder"):
        config.option.loadscopereorder = False


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """The files that begin, then those with slow tests, then the networks', then all others; each in one piece."""
    files = [item.nodeid.partition("::")[0] for item in items]
    slow = {file for file, item in zip(files, items, strict=True) if item.get_closest_marker("slow")}

    def rank(item: pytest.Item) -> int:
        file = item.nodeid.partition("::")[0]
        if file in FIRST:
            return FIRST.index(file)
        return len(FIRST) + (0 if file in slow else 1 if "/networks/" in file else 2)

    items.sort(key=rank)
