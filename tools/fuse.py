"""`python tools/fuse.py ...` is `detector fuse ...`."""

from detector.commands import run

if __name__ == "__main__":
    raise SystemExit(run("fuse"))
