"""Files that are replaced whole: a reader sees the old content or the new, whatever stops the writer."""

import os
import socket
from pathlib import Path


def replace_file(path: Path, content: bytes, *, durable: bool) -> None:
    """Write aside under a name of this process, then rename over `path`; `durable` survives loss of power as well."""
    # With the host's name: in containers that share a directory every process may have the same id.
    aside = path.with_name(f".{path.name}.{os.getpid()}@{socket.gethostname()}")
    with aside.open("wb") as file:
        file.write(content)
        if durable:
            file.flush()
            os.fsync(file.fileno())
    aside.replace(path)
    if durable:
        sync_directory(path.parent)


def sync_file(path: Path) -> None:
    with path.open("rb") as file:
        os.fsync(file.fileno())


def sync_directory(directory: Path) -> None:
    """Make what was created in, or renamed into, `directory` durable."""
    descriptor = os.open(directory, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
