import json
from pathlib import Path

import pytest

from detector.runs.folder import RunFolder
from detector.runs.history import stage_seconds, training_logs


def run_with(folder: Path, events: list[dict[str, object]], **tables: str) -> RunFolder:
    (folder / "log.jsonl").write_text("".join(json.dumps(event) + "\n" for event in events))
    for name, text in tables.items():
        (folder / f"{name}.csv").write_text(text)
    return RunFolder(folder)


def done(stage: str, seconds: float) -> dict[str, object]:
    return {"event": "stage done", "stage": stage, "seconds": seconds}


def judged(step: int, loss: float) -> dict[str, object]:
    return {"event": "judged", "time": "now", "step": step, "loss": loss}


def test_a_repeated_stage_counts_once_where_it_was_last_done(tmp_path: Path) -> None:
    run = run_with(tmp_path, [done("propose", 1), done("finetune", 2), {"event": "start"}, done("propose", 3)])
    assert list(stage_seconds(run).items()) == [("finetune", 2), ("propose", 3)]


def test_a_line_that_a_kill_cut_is_passed_over(tmp_path: Path) -> None:
    run = run_with(tmp_path, [done("propose", 1)])
    with (tmp_path / "log.jsonl").open("a") as file:
        file.write('{"event": "stage do')
    assert stage_seconds(run) == {"propose": 1}


@pytest.mark.parametrize(
    "line",
    [b"\xff\xfe", b"[1]", b"7", b"[" * 100_000, b'{"event": "stage done"}', b'{"event": "judged", "step": "x"}'],
)
def test_a_damaged_line_of_the_log_is_passed_over(tmp_path: Path, line: bytes) -> None:
    run = run_with(tmp_path, [done("propose", 1)], metrics="step,loss\n5,1\n")
    with (tmp_path / "log.jsonl").open("ab") as file:
        file.write(line + b"\n" + json.dumps(judged(5, 2.0)).encode() + b"\n")
    assert stage_seconds(run) == {"propose": 1}
    (log,) = training_logs(run, pretrained=True)
    assert log.judged["loss"].tolist() == [2.0]


def test_damaged_rows_are_noted_and_left_out(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run = run_with(tmp_path, [], metrics="step,loss\n2,1\n4,abc\n6,3\n8,")
    (log,) = training_logs(run, pretrained=True)
    assert log.steps.tolist() == [2, 6]
    assert log.columns["loss"].tolist() == [1, 3]
    notes = [json.loads(line)["note"] for line in (tmp_path / "log.jsonl").read_text().splitlines()]
    assert notes == capsys.readouterr().err.splitlines()
    assert "line 3 of" in notes[0]
    assert "the last line of" in notes[1]


def test_a_folder_without_history_tells_nothing(tmp_path: Path) -> None:
    assert stage_seconds(RunFolder(tmp_path)) == {}
    assert training_logs(RunFolder(tmp_path), pretrained=True) == []


def test_training_tables_become_columns(tmp_path: Path) -> None:
    run = run_with(
        tmp_path, [], pretrain="step,loss\n", metrics="step,loss,learning_rate\n2,0.5,0.1\n4,0.25,0.1\n"
    )
    (log,) = training_logs(run, pretrained=True)
    assert log.name == "Fine-tuning on regions"
    assert log.steps.tolist() == [2, 4]
    assert {name: column.tolist() for name, column in log.columns.items()} == {
        "loss": [0.5, 0.25],
        "learning_rate": [0.1, 0.1],
    }
    assert len(log.judged_steps) == 0


def test_judgements_of_the_last_training_are_kept(tmp_path: Path) -> None:
    begun: dict[str, object] = {"event": "stage begun", "stage": "finetune"}
    old, first, again, later = judged(5, 9.0), judged(5, 2.0), judged(5, 1.0), judged(10, 0.5)
    run = run_with(tmp_path, [begun, old, begun, first, again, later], metrics="step,loss\n5,1\n")
    (log,) = training_logs(run, pretrained=True)
    assert log.judged_steps.tolist() == [5, 10]
    assert log.judged["loss"].tolist() == [1.0, 0.5]


def test_a_pretraining_of_earlier_settings_is_left_out(tmp_path: Path) -> None:
    run = run_with(tmp_path, [], pretrain="step,loss\n2,1\n", metrics="step,loss\n4,3\n")
    assert [log.steps.tolist() for log in training_logs(run, pretrained=True)] == [[2], [4]]
    assert [log.steps.tolist() for log in training_logs(run, pretrained=False)] == [[4]]
