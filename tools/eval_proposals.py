"""`python tools/eval_proposals.py ...` is `detector eval_proposals ...`."""

from detector.commands import run

if __name__ == "__main__":
    raise SystemExit(run("eval_proposals"))
