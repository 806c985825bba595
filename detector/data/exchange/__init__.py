"""Files of other programs: submissions, results, proposals and detections."""
