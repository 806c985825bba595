"""`python tools/train_multibox.py ...` is `detector train_multibox ...`."""

from detector.commands import run

if __name__ == "__main__":
    raise SystemExit(run("train_multibox"))
