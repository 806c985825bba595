import json
import subprocess
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest
import torch
from fake_gpu import fake_gpu

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"
LEFT_OUT = {"compiled"}  # takes a minute, and a compiler


@pytest.fixture
def gpu(monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.syspath_prepend(BENCHMARKS)
    return import_module("gpu")


def test_all_parts_run_small_on_a_cpu(gpu: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    parts = [name for name in gpu.PARTS if name not in LEFT_OUT]
    assert gpu.main(["--small", "--device", "cpu", "--out", str(tmp_path), "--only", *parts]) == 0
    found = json.loads((tmp_path / "gpu.json").read_text())
    assert list(found["parts"]) == parts
    for part in found["parts"].values():
        assert part["rows"]
        for row in part["rows"]:
            assert all(value > 0 for key, value in row.items() if key.endswith(("per_second", "gflops")))
    text = (tmp_path / "gpu.md").read_text()
    assert capsys.readouterr().out == text
    assert all(f"## {name.capitalize()}" in text for name in parts)


def test_engines_run_on_a_gpu_that_is_not_there(gpu: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A captured engine and the share of time are nothing that a CPU has."""
    monkeypatch.setattr(gpu, "busy_share", lambda step, device: step() or 0.5)
    monkeypatch.setattr(torch.cuda, "synchronize", lambda device: None)
    with fake_gpu() as fake:
        bench = gpu.Bench(gpu.make_workload(tmp_path, True, "cuda"), 0.0, True)
        rows = gpu.engines(bench)
        assert fake.launches["graph"] > 0
    assert [row["what"] for row in rows] == [*gpu.FORMATS, "bf16, CUDA graph"]
    assert all(row["busy"] == 0.5 for row in rows)


def test_a_part_that_fails_or_comes_too_late_is_told_and_the_others_go_on(
    gpu: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(bench: Any) -> list[Any]:
        """Fails."""
        raise RuntimeError("no\nsuch thing")

    monkeypatch.setitem(gpu.PARTS, "layers", fail)
    asked = ["--small", "--device", "cpu", "--out", str(tmp_path), "--only", "layers", "products"]
    assert gpu.main(asked) == 1
    parts = json.loads((tmp_path / "gpu.json").read_text())["parts"]
    assert parts["layers"]["failure"] == "RuntimeError: no such thing"
    assert parts["products"]["rows"]
    assert gpu.main([*asked, "--seconds", "0"]) == 1
    parts = json.loads((tmp_path / "gpu.json").read_text())["parts"]
    assert parts["products"]["failure"] == "no time left"


def test_spans_that_overlap_count_once(gpu: Any) -> None:
    covered = import_module("gpu_device").covered
    assert covered([(0, 2), (1, 3), (5, 6), (5, 5.5)]) == 4
    assert covered([]) == 0


def test_launches_are_counted_without_a_gpu(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.syspath_prepend(BENCHMARKS)
    launches = import_module("gpu_launches")
    monkeypatch.setattr(launches, "rows", lambda variant, regions: [(f"{variant} {regions}", (1234, 5))])
    launches.main(["--variant", "tiny", "--regions", "8"])
    assert capsys.readouterr().out.splitlines()[-1] == "| tiny 8 | 1,234 | 5 |"
    monkeypatch.undo()
    with launches.fake_gpu() as gpu:
        step, warp = launches.training("tiny", 8)
        (all_of_it, copies), (of_warp, up) = launches.counted(gpu, step), launches.counted(gpu, warp)
    assert 0 < of_warp < all_of_it <= 200
    assert (up, copies) == (6, 7)


def test_the_script_for_gpus_can_be_read_by_a_shell() -> None:
    subprocess.run(["bash", "-n", str(BENCHMARKS / "gpu.sh")], check=True)
