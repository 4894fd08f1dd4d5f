"""Whatever a message tells somebody to run can be run: every command that the code names is one of the real parser."""

import ast
import re
import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import click
import pytest

from monitoring.alerts.runbook import pages
from monitoring.entrypoints.cli import main

ROOT: Final = Path(__file__).parents[2]
SOURCES: Final = sorted([*ROOT.glob("services/**/*.py"), *ROOT.glob("monitoring/**/*.py")])
QUOTED: Final = re.compile(r"`(bellwether [^`]+)`")
NAMED: Final = re.compile(r"\bbellwether ([a-z][a-z-]*)")
FILLED: Final = "1"
"""What stands for whatever an f-string puts in: a name, a version and a number at once."""


def texts(tree: ast.Module) -> Iterator[str]:
    """Every text that the program may say; docstrings are for who reads the code, and what is inside an f-string is a
    part of it."""
    parts = {id(part) for node in ast.walk(tree) if isinstance(node, ast.JoinedStr) for part in node.values}
    said = {id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Expr)}
    for node in ast.walk(tree):
        if isinstance(node, ast.JoinedStr):
            yield "".join(str(part.value) if isinstance(part, ast.Constant) else FILLED for part in node.values)
        elif isinstance(node, ast.Constant) and isinstance(node.value, str) and not {id(node)} & (parts | said):
            yield node.value


def messages() -> list[tuple[str, str]]:
    """(where, text) of each text that names a command of ours; a name alone is what a process calls itself."""
    found = []
    for path in SOURCES:
        for text in texts(ast.parse(path.read_text())):
            named = [each for each in NAMED.findall(text) if each in main.commands]
            if named and text != f"bellwether {named[0]}":
                found.append((path.relative_to(ROOT).as_posix(), text))
    return found


def commands() -> list[tuple[str, str]]:
    """(where, command) of everything that is quoted as one, in the code and in the runbooks."""
    in_code = [(where, command) for where, text in messages() for command in QUOTED.findall(text)]
    in_pages = [(name, command) for name, path in pages().items() for command in QUOTED.findall(path.read_text())]
    return in_code + in_pages


def parse(command: str) -> None:
    """Raises `click.UsageError` and `KeyError`."""
    words = [FILLED if word in ("N", "%s") else word for word in shlex.split(command.replace("…", FILLED))][1:]
    found: click.Command = main
    while isinstance(found, click.Group):
        found = found.commands[words.pop(0)]
    found.make_context("bellwether", words)


@pytest.mark.parametrize(("where", "command"), commands())
def test_a_command_that_somebody_is_told_to_run_is_one(where: str, command: str) -> None:
    try:
        parse(command)
    except (click.ClickException, KeyError) as error:
        pytest.fail(f"{where} says `{command}`: {error}")


@pytest.mark.parametrize(("where", "text"), messages())
def test_a_command_in_a_message_is_marked_as_one(where: str, text: str) -> None:
    unmarked = [each for each in NAMED.findall(QUOTED.sub("", text)) if each in main.commands]
    assert not unmarked, f"{where}: {text!r}"


def test_there_are_commands_to_look_at() -> None:
    assert len(commands()) > 20
