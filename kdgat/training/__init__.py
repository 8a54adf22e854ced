"""Losses, distillation, the Lightning module, checkpoints, scoring and metrics."""
