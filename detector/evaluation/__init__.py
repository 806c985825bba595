"""Evaluation protocols and reports, in numpy alone."""
