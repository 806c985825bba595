"""`python tools/train_det.py ...` is `detector train_det ...`."""

from detector.commands import run

if __name__ == "__main__":
    raise SystemExit(run("train_det"))
