"""Runs beyond their folders: history in DuckDB, tracking and registry in MLflow, analytics."""
