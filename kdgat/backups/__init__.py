"""Copies of what a purge or a dead disk would take: the ledger, history and the MLflow store."""
