"""What is wrong with a file of requests, what mends it, what it costs, and how it is cut."""
