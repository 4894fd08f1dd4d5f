"""Prometheus's rules and configuration, built from the models' specs: one module per subject.

Thresholds come from the specs, names of metrics from the two tables of metrics; a page is for what is being lost now,
a ticket for what can wait until the morning.
"""
