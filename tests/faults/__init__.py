"""Faults of real processes and servers under load, and whether every answered prediction is in the store afterwards."""
