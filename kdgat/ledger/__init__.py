"""A run's folder: its record, states, events and files. Standard library only."""
