"""Runs of other programs, brought in with their figures and clearly marked as imported."""
