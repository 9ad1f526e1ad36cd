"""Keeps: the store, the blobs, the way to the upstream, clock and chance."""
