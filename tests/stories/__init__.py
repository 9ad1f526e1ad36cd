"""Lives of batches, told from seeds on a virtual clock."""
