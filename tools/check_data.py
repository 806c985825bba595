"""`python tools/check_data.py ...` is `detector check_data ...`."""

from detector.commands import run

if __name__ == "__main__":
    raise SystemExit(run("check_data"))
