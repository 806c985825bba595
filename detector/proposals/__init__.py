"""Region proposals: selective search in numba."""
