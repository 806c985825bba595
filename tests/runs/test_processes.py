import pytest
import torch
from torch import distributed

from detector.runs import processes
from detector.runs.processes import coming_group, process_group


def test_without_a_launcher_there_is_one_process(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("WORLD_SIZE", raising=False)
    group = coming_group("cpu")
    assert (group.rank, group.world, group.neighbours, group.device) == (0, 1, 1, torch.device("cpu"))
    with process_group("cpu") as joined:
        assert joined == group


def test_a_process_knows_its_place_before_the_others_are_there(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in {"WORLD_SIZE": "6", "RANK": "4", "LOCAL_RANK": "1", "LOCAL_WORLD_SIZE": "3"}.items():
        monkeypatch.setenv(name, value)
    group = coming_group("cpu")
    assert (group.rank, group.world, group.neighbours, group.is_first) == (4, 6, 3, False)


@pytest.mark.parametrize("name", ["auto", "cuda"])
def test_a_process_looks_at_no_gpu_but_its_own(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A tensor on another, however small, would take memory there; one that is missing is told as any device."""
    asked: list[str] = []

    def choose(device: str) -> torch.device:
        asked.append(device)
        return torch.device(device)

    monkeypatch.setattr(processes, "choose_device", choose)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    for key, value in {"WORLD_SIZE": "6", "RANK": "4", "LOCAL_RANK": "1", "LOCAL_WORLD_SIZE": "3"}.items():
        monkeypatch.setenv(key, value)
    assert coming_group(name).device == torch.device("cuda:1")
    assert asked == ["cuda:1"]


def test_processes_of_gpus_are_joined_on_their_own(monkeypatch: pytest.MonkeyPatch) -> None:
    """Barriers, too: without a device torch takes one by the process's place among all."""
    calls: list[object] = []
    monkeypatch.setattr(processes, "choose_device", torch.device)
    monkeypatch.setattr(torch.cuda, "set_device", calls.append)
    monkeypatch.setattr(
        distributed, "init_process_group", lambda name, **how: calls.append((name, how["device_id"]))
    )
    monkeypatch.setattr(distributed, "get_rank", lambda: 4)
    monkeypatch.setattr(distributed, "destroy_process_group", lambda: None)
    for key, value in {"WORLD_SIZE": "6", "RANK": "4", "LOCAL_RANK": "1", "LOCAL_WORLD_SIZE": "3"}.items():
        monkeypatch.setenv(key, value)
    with process_group("cuda") as group:
        assert (group.rank, group.device) == (4, torch.device("cuda:1"))
    assert calls == [torch.device("cuda:1"), ("nccl", torch.device("cuda:1"))]
