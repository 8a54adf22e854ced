"""One module a tool, or a pair that belong together; the table names the functions."""
