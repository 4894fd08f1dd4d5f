"""The online path: decides and records. It knows nothing of monitoring."""
