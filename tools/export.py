"""`python tools/export.py ...` is `detector export ...`."""

from detector.commands import run

if __name__ == "__main__":
    raise SystemExit(run("export"))
