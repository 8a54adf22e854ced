"""Gaps of the history, one module a kind or two: rows in, findings out."""
