"""Ways in which the file of online features goes down under a running service, and comes back."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def moved_away(path: Path) -> Iterator[None]:
    aside = path.with_name("aside")
    path.rename(aside)
    yield
    aside.rename(path)


@contextmanager
def replaced_by_an_empty_file(path: Path) -> Iterator[None]:
    """As after a disk was mounted over the directory, or a restore that went wrong."""
    with moved_away(path):
        path.touch()
        yield
