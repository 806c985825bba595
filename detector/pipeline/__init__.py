"""Stages, the run folder and resume."""
