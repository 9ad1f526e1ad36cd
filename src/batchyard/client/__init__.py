"""The toolkit: from a table of things to a file of requests, and from answers back to a table."""
