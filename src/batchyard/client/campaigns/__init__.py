"""One input file, as many batches as it takes, one result for each input."""
