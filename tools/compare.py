"""`python tools/compare.py ...` is `detector compare ...`."""

from detector.commands import run

if __name__ == "__main__":
    raise SystemExit(run("compare"))
