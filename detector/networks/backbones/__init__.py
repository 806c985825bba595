"""The networks under the region classifier."""
