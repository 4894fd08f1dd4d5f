"""What docker-compose.yml says, and its services outside of containers.

`compose-spec.json` is the JSON schema of the Compose Specification, unchanged from the repository
compose-spec/compose-spec; its licence, Apache 2.0, is in LICENSE beside it.
"""
