"""How each request ended, whoever wrote the line, and what its answer is worth."""
