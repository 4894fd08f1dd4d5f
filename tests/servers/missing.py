"""Which real components the tests exercised, and which of them this machine could not provide.

Tests of what is missing are skipped, and pytest's last lines say so; with STRICT=1 that fails the run.
"""

import os
from typing import Final, NoReturn

import pytest

STRICT: Final = "STRICT"

_provided: Final[set[str]] = set()
_missing: Final[dict[str, str]] = {}


def provided(component: str) -> None:
    _provided.add(component)


def skip_without(component: str, why: str) -> NoReturn:
    """Skip the test that asks for a component, and remember why it is not there."""
    _missing[component] = why
    pytest.skip(f"no {component}: {why}")


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    if _provided:
        terminalreporter.line(f"Real components exercised: {', '.join(sorted(_provided))}.")
    for component, why in sorted(_missing.items()):
        terminalreporter.line(f"NOT exercised: {component}: {why}", red=True)


def pytest_sessionfinish(session: pytest.Session, exitstatus: int) -> None:
    if _missing and os.environ.get(STRICT) == "1" and exitstatus == pytest.ExitCode.OK:
        session.exitstatus = pytest.ExitCode.TESTS_FAILED
