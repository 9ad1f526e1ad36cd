"""From a table to a table: rows are asked, and answers go back to their rows."""
