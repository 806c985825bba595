"""`python tools/explain.py ...` is `detector explain ...`."""

from detector.commands import run

if __name__ == "__main__":
    raise SystemExit(run("explain"))
