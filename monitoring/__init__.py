"""Judges what the services recorded, then acts on the verdict."""
