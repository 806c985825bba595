"""`python tools/bench.py ...` is `detector bench ...`."""

from detector.commands import run

if __name__ == "__main__":
    raise SystemExit(run("bench"))
