"""Names: OpenAI's objects and lines as frozen values."""
