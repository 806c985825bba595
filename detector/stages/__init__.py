"""Stages: one file a stage."""
