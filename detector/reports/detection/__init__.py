"""The report of detections: what is counted, metrics.json, report.md and one HTML page."""
