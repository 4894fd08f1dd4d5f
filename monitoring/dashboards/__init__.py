"""Grafana's dashboards as code: definitions in YAML, built by grafana-dashboard-builder with plug-ins of our own."""
