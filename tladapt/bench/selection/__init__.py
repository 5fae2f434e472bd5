"""Validators over the checkpoints of a grid: regret, rank correlation, collapses."""
