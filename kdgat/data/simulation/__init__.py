"""A bus with vehicles on it and attacks against them, in plain numpy."""
