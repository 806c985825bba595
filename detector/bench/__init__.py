"""What the pipeline reaches on this machine: its stages, every engine there is, and what others run."""
