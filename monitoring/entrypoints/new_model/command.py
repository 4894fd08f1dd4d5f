"""Writes `services/models/NAME/` from the templates beside this file, whole or not at all."""

import keyword
import os
import re
import shutil
from pathlib import Path
from string import Template
from typing import ClassVar, Final

import services.models
from services.core.errors import BellwetherError
from services.core.spec import NAME

MODELS: Final = Path(services.models.__file__).parent
TEMPLATES: Final = Path(__file__).parent / "templates"

NEXT_STEPS: Final = """\
{folder} is a working model. Edit it into yours, in this order; docs/new-model.md says what each asks of you:
  features.py   what goes in, where it comes from, how old it may be
  spec.py       whose model it is, and what callers may rely on
  decide.py     from a score to an action, with your figures
  rule.py       what answers when the model may not
  measures.py   what an answer earned once the outcome is known
  train.py      how a version is trained
  world.py      a simulated world to try all of it on
  history.toml  which columns of your CSV are which features
  README.md     the card that callers read
Every place to edit says so:  grep -rn "Edit:" {folder}
See it work as it stands:     `bellwether up --model {name}`
Prove that it fits:           make test ARGS="tests/models -k {name}"
Before real data trains it:   `bellwether check {name} --csv FILE`
"""


class NotWritten(BellwetherError):
    """The folder of a new model could not be made; nothing of it is there."""

    code: ClassVar[str] = "not_written"


def new_model(name: str) -> str:
    """Write the folder into the checkout that is installed; returns what to do next, for people.

    Raises:
        NotWritten: the name cannot be one, is taken, or the package is not a checkout that can be written to.
    """
    require_checkout(MODELS)
    return NEXT_STEPS.format(folder=write_model(name, models=MODELS), name=name)


def write_model(name: str, *, models: Path, templates: Path = TEMPLATES) -> Path:
    """The new folder below `models`. Raises `NotWritten`."""
    _require_free(name, models)
    # Discovery takes no folder with a dot in its name for a package, so nobody sees it before it is whole.
    aside = models / f".{name}.{os.getpid()}"
    try:
        aside.mkdir()
        for template in sorted(templates.glob("*.tmpl")):
            text = Template(template.read_text("utf-8")).substitute(name=name)
            (aside / template.stem).write_text(text, "utf-8")
        return aside.rename(models / name)
    except OSError as error:
        raise NotWritten(f"{models / name} cannot be written: {error.strerror}") from error
    finally:
        shutil.rmtree(aside, ignore_errors=True)


def require_checkout(models: Path) -> None:
    """Raises `NotWritten` where `models` is not the source code that runs from a checkout."""
    checkout = models.parents[1]
    if not (checkout / "pyproject.toml").is_file() or not os.access(models, os.W_OK):
        raise NotWritten(
            f"Bellwether runs from {checkout}, which is no checkout that can be written to, and a model is source "
            f"code; clone the repository, run `make test` in it once, and use its .venv/bin/bellwether"
        )


def _require_free(name: str, models: Path) -> None:
    """The name becomes a Python package, a metric label, part of URLs and of file names."""
    if not NAME.fullmatch(name):
        raise NotWritten(f"model name {name[:64]!r} is not snake_case; expected {NAME.pattern}{_suggestion(name)}")
    if keyword.iskeyword(name):
        raise NotWritten(f"model name {name!r} is a word of Python, and a model is a package; choose another")
    if (models / f"{name}.py").exists():
        raise NotWritten(f"model name {name!r} is taken by {models / name}.py; choose another")
    if (models / name).exists():
        raise NotWritten(f"{models / name} exists already; choose another name, or remove that folder")


def _suggestion(name: str) -> str:
    better = re.sub(r"[^a-z0-9]+", "_", name.lower()).strip("_")
    return f", such as {better!r}" if NAME.fullmatch(better) else ""
