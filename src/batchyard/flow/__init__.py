"""Moves: from a file of requests, over the lanes, to a file of answers."""
