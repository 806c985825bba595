"""`python tools/train_cls.py ...` is `detector train_cls ...`."""

from detector.commands import run

if __name__ == "__main__":
    raise SystemExit(run("train_cls"))
