"""`python tools/split_val.py ...` is `detector split_val ...`."""

from detector.commands import run

if __name__ == "__main__":
    raise SystemExit(run("split_val"))
