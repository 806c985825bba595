"""Reports: pages, tables and plots of what the evaluation counted."""

from detector.caches import settle_caches

settle_caches()  # before matplotlib is loaded
