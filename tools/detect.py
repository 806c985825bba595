"""`python tools/detect.py ...` is `detector detect ...`."""

from detector.commands import run

if __name__ == "__main__":
    raise SystemExit(run("detect"))
