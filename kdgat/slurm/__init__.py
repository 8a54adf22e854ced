"""Clusters and their schedulers: descriptions, job scripts, and the one client of Slurm."""
