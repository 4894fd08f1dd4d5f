"""Settings that belong to a home: where its records, features, versions and events are.

Whoever first writes into a home says where these are, and the home keeps it in `settings.json`. Who comes later need
not say it again, and may not say otherwise: a command that looked elsewhere would find nothing, and call that all is
well. No secret is among them.
"""

import fcntl
import os
import re
from collections.abc import Collection, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import fields, replace
from pathlib import Path
from typing import Final

import msgspec

from services.adapters.durable import replace_file
from services.adapters.home_lock import use_homes_of
from services.core.errors import UNDECODABLE, SettingsError
from services.settings import KAFKA, Settings, variable_of

FILE: Final = "settings.json"

OF_THE_LOG: Final = (
    "event_log",
    "kafka",
    "kafka_prefix",
    "kafka_security_protocol",
    "kafka_sasl_mechanism",
    "kafka_user",
    "kafka_ca_file",
)
OF_A_HOME: Final = ("store", "features", "versions", *OF_THE_LOG)
OF_CONSUMING: Final = ("store", *OF_THE_LOG)
OF_SERVING: Final = ("features", "versions", "event_log")
OF_JUDGING: Final = ("store", "versions")
"""What each of the processes uses, and so keeps."""

_SQLITE: Final = re.compile(r"(sqlite(?:\+\w+)?:///)(.+)", re.DOTALL)
"""A file's URL, perhaps with its driver, and the path in it."""
_DEFAULTS: Final = {each.name: each.default for each in fields(Settings) if each.name in OF_A_HOME}


def kept(home: Path) -> dict[str, str]:
    """What the home keeps, by the setting's name; nothing where nobody has written into it yet.

    Raises:
        SettingsError: the file cannot be read.
    """
    path = home / FILE
    try:
        return msgspec.json.decode(path.read_bytes(), type=dict[str, str])
    except (FileNotFoundError, NotADirectoryError):
        return {}
    except (OSError, *UNDECODABLE) as error:
        raise SettingsError(
            f"{path} cannot be read ({error}); expected the settings of this home. If the file is damaged, remove it, "
            "and the next process that writes into the home keeps its own"
        ) from error


def of_home(settings: Settings, *names: str, said: Collection[str] = ()) -> Settings:
    """These settings with what the home keeps in place of what nobody said.

    Args:
        names: the settings that whoever asks uses; all that a home keeps where there are none. Others may be what they
            like.
        said: settings that somebody gave although they are the default; one that is not was given by somebody.

    Raises:
        SettingsError: what was said is not what the home keeps; or its file cannot be read.
    """
    known = kept(settings.home)
    return _settled(settings, {name: value for name, value in known.items() if name in (names or OF_A_HOME)}, said)


def keep(settings: Settings, *names: str, said: Collection[str] = ()) -> Settings:
    """As `of_home`, for a process that writes: the home, which exists, keeps those of `names` that it had not.

    Raises:
        SettingsError: what was said is not what the home keeps; or its file cannot be read or written.
    """
    with _turn(settings.home):
        before = kept(settings.home)
        settled = _settled(settings, {name: value for name, value in before.items() if name in names}, said)
        new = {name: _portable(settled, name) for name in names if name not in before and _matters(settled, name)}
        if new:
            _write(settings.home, before | new)
    return settled


@contextmanager
def beside_others(settings: Settings, *, command: str) -> Iterator[None]:
    """While this process works with files of another home, nobody moves them away.

    Raises:
        AlreadyRunning: somebody does so now.
    """
    with ExitStack() as locks:
        for each in use_homes_of(settings.shareable_files, home=settings.home, command=command):
            locks.enter_context(each)
        yield


def change(home: Path, settings: Settings, names: Collection[str]) -> dict[str, str]:
    """Let the home keep these of the settings in place of what it kept; returns all that it keeps now.

    Nobody else may use the home meanwhile: who runs there goes on with what was kept before.
    """
    with _turn(home):
        now = kept(home) | {name: _portable(settings, name) for name in names}
        _write(home, now)
    return now


def _settled(settings: Settings, before: Mapping[str, str], said: Collection[str]) -> Settings:
    unlike = {name: value for name, value in before.items() if _portable(settings, name) != value}
    for name, value in unlike.items():
        if name in said or getattr(settings, name) != _DEFAULTS[name]:
            raise _differs(settings, name, value)
    return settings.with_flags(**unlike)


def _differs(settings: Settings, name: str, value: str) -> SettingsError:
    flag, found = "--" + name.replace("_", "-"), getattr(settings, name)
    return SettingsError(
        f"home {settings.home} keeps {name} {_told(value)} since it was first written into, found {_told(found)}; "
        f"leave {flag} and {variable_of(name)} out, or choose another home with --home. To move this one, stop what "
        f"uses it and run `bellwether settings change --home {settings.home}` with {flag} {found or repr('')}"
    )


def _told(value: str) -> str:
    return repr(value) if value else "'' (which is in the home)"


def _portable(settings: Settings, name: str) -> str:
    """The value as it means the same from any directory, and in a home that was moved."""
    value: str = getattr(settings, name)
    if not value:
        return value
    if name == "store":
        absolute = _absolute_store(value)
        return "" if absolute == replace(settings, store="").store_url else absolute
    if name == "versions":
        return "" if Path(value).resolve() == (settings.home / "bentoml").resolve() else str(Path(value).absolute())
    return str(Path(value).absolute()) if name == "kafka_ca_file" else value


def _absolute_store(url: str) -> str:
    found = _SQLITE.fullmatch(url)
    return url if found is None else f"{found[1]}{Path(found[2]).absolute()}"


def _matters(settings: Settings, name: str) -> bool:
    """Where Kafka is, says nothing of a home whose events do not go there."""
    return not name.startswith(KAFKA) or settings.event_log == KAFKA


@contextmanager
def _turn(home: Path) -> Iterator[None]:
    """Processes that start together keep one after the other."""
    try:
        descriptor = os.open(home, os.O_RDONLY | os.O_DIRECTORY)
    except OSError as error:
        raise SettingsError(f"home {home} cannot be opened ({error.strerror}); choose another with --home") from error
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


def _write(home: Path, values: Mapping[str, str]) -> None:
    try:
        replace_file(home / FILE, msgspec.json.format(msgspec.json.encode(dict(values))) + b"\n", durable=True)
    except OSError as error:
        raise SettingsError(
            f"{home / FILE} cannot be written ({error.strerror}); free the disk or change its rights"
        ) from error
