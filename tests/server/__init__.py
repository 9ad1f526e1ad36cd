"""The HTTP door, by real clients and raw sockets."""
