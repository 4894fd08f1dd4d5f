"""`bellwether up`: every process of the stack on one machine, with simulated callers in front."""
