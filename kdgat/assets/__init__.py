"""Datasets, models and outputs in one store by content, which several workspaces share by links."""
