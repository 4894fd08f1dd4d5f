"""`GET /openapi.json`: what the routes take and answer, derived from the specs and from the structs they encode."""

from services.entrypoints.openapi.document import document

__all__ = ["document"]
