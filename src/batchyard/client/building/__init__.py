"""How requests are built and written: parameters of each endpoint, schemas, templates, files."""
