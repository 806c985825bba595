"""`python tools/eval_det.py ...` is `detector eval_det ...`."""

from detector.commands import run

if __name__ == "__main__":
    raise SystemExit(run("eval_det"))
