"""The words of the domain. Imports the standard library and msgspec, nothing else."""
