"""Simulated sets of other domains: tables, with the dataset.toml that maps them."""
