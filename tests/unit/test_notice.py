"""NOTICE names every locked part whose licence asks for more than naming it."""

import importlib.metadata
import re
from pathlib import Path

ROOT = Path(__file__).parents[2]
ASKING = re.compile(r"L?GPL|MPL|Mozilla|EPL|CDDL")


def locked() -> list[str]:
    return re.findall(r"^([a-z0-9][a-z0-9._-]*)==", (ROOT / "requirements.lock").read_text(), re.MULTILINE)


def licence(name: str) -> str:
    """What a package says of its licence; "" where it is not installed, as what is for another system alone."""
    try:
        told = importlib.metadata.metadata(name)
    except importlib.metadata.PackageNotFoundError:
        return ""
    words = [each for each in told.get_all("Classifier") or [] if each.startswith("License")]
    # A whole text of a licence speaks of others, too.
    named = [line[:60] for name in ("License-Expression", "License") for line in told.get_all(name) or []]
    return " ".join([*named, *words])


def test_the_notice_names_every_part_under_such_a_licence_and_no_other() -> None:
    named = set(re.findall(r"^  ([a-z0-9-]+)  ", (ROOT / "NOTICE").read_text(), re.MULTILINE))

    assert named == {name for name in locked() if ASKING.search(licence(name))}


def test_the_notice_goes_into_the_image_and_the_wheel() -> None:
    assert "!NOTICE" in (ROOT / ".dockerignore").read_text().splitlines()
    assert '"NOTICE"' in (ROOT / "pyproject.toml").read_text()
