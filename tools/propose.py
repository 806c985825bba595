"""`python tools/propose.py ...` is `detector propose ...`."""

from detector.commands import run

if __name__ == "__main__":
    raise SystemExit(run("propose"))
