"""Official clients, of every generation in use, against a real server."""
