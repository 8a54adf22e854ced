"""The command line: parse, call the operation, print. Operations are imported when they run."""
