"""`python tools/test_det.py ...` is `detector test_det ...`."""

from detector.commands import run

if __name__ == "__main__":
    raise SystemExit(run("test_det"))
