"""Evaluation protocols and reports, in numpy alone."""

from detector.caches import settle_caches

settle_caches()  # before matplotlib is loaded
