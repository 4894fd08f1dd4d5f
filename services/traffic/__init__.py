"""Drives the HTTP API of this machine's own service: from a simulated world, or from a CSV of real history."""
