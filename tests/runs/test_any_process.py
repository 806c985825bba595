import torch
from fake_gpu import GPU, fake_gpu
from pytest import MonkeyPatch

from detector.networks.transfers import AHEAD
from detector.runs.processes import AnyProcess, Group, alone

FLAGS = [False, True, False, False, False]


def test_a_process_that_is_alone_is_answered_at_once() -> None:
    anywhere = AnyProcess(alone())
    assert [anywhere(flag) for flag in FLAGS] == FLAGS


def test_processes_on_cpus_are_answered_at_once(monkeypatch: MonkeyPatch) -> None:
    monkeypatch.setattr(torch.distributed, "all_reduce", lambda count: None)  # the others' flags are false
    anywhere = AnyProcess(Group(0, 2, torch.device("cpu")))
    assert [anywhere(flag) for flag in FLAGS] == FLAGS


def test_processes_on_gpus_are_answered_later_and_wait_for_nothing(monkeypatch: MonkeyPatch) -> None:
    with fake_gpu() as gpu:
        monkeypatch.setattr(torch.distributed, "all_reduce", lambda count: count.add_(0))
        anywhere = AnyProcess(Group(0, 2, GPU))
        with gpu.counted():
            for flag in FLAGS:
                anywhere(flag)
    assert gpu.notes == ["up", "down", "batch"] * AHEAD + ["up", "down", "batch", "wait"] * (len(FLAGS) - AHEAD)
