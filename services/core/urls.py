"""Addresses of servers that others run: what must not stand in them, and how they are told."""

import re
from collections.abc import Iterable
from typing import Final
from urllib.parse import SplitResult, parse_qsl, unquote, urlsplit

HIDDEN: Final = "***"
MAYBE: Final = "has what may be a password before its @"

_SECRET: Final = re.compile(r"pass(?!file)|pwd|secret|token|credential", re.IGNORECASE)
"""Names of the members of a query that hold a secret: password, sslpassword, ssl_password, passwd. A `passfile` is a
file's name."""
_QUERY: Final = re.compile(r"([^?&;#=\s]+)=('(?:[^'\\]|\\.)*'|[^&\s]*)")
"""Members of a query. A ; or # in a value may be a secret's own."""
_TEXT: Final = re.compile(r"([^=\s]+)\s*=\s*('(?:[^'\\]|\\.)*'|(?:\\.|[^\s\\])*)", re.DOTALL)
"""Members of a text as libpq takes one too: with blanks around the =; quotes or backslashes keep those in a value."""


def secret_in(url: str) -> str | None:
    """Where a URL has a secret in it, in words that may follow its name; None where it has none."""
    if _is_file(url):
        return None
    if "://" not in url:
        return MAYBE if ":" in url.rpartition("@")[0] else _named([*_QUERY.findall(url), *_TEXT.findall(url)])
    try:
        return _in_parts(urlsplit(url))
    except ValueError:
        # Hardly a URL; what stands before an @ may be a secret.
        return MAYBE if "@" in url else None


def redacted(url: str) -> str:
    """The URL without whatever may be a secret in it, for messages; also of a text that is no URL."""
    if _is_file(url):
        return url
    scheme, separator, rest = url.partition("://")
    if not separator:
        scheme, rest = "", url
    before, at, behind = rest.rpartition("@")
    if at:
        user, colon, _ = before.partition(":")
        rest = f"{HIDDEN if colon or '/' in before else _plain(user)}@{behind}"
    return f"{scheme}{separator}{(_QUERY if separator else _TEXT).sub(_hidden, rest)}"


def _in_parts(parts: SplitResult) -> str | None:
    """Raises `ValueError`."""
    if parts.password is not None or ":" in unquote(parts.username or ""):
        return "has a password before its @"
    query = f"{parts.query}&{parts.fragment}".replace(";", "&")
    if (named := _named(parse_qsl(query))) is not None:
        return named
    # user:pa/ss@host: the slash of a password that is not percent-encoded ends the part with the host.
    return MAYBE if "@" in f"{parts.path}{query}" and ":" in parts.netloc else None


def _named(members: Iterable[tuple[str, str]]) -> str | None:
    named = next((name for name, value in members if value and _SECRET.search(name)), None)
    return None if named is None else f"has a secret in its query ({named[:40]})"


def _is_file(url: str) -> bool:
    """SQLite's have a path, in which an @ is an @."""
    return url.startswith("sqlite") and ":///" in url


def _plain(user: str) -> str:
    return HIDDEN if ":" in unquote(user) else user


def _hidden(found: re.Match[str]) -> str:
    name, value = found.groups()
    if value and _SECRET.search(unquote(name)):
        return f"{name}={HIDDEN}"
    # A member may stand behind a ; in the value of another.
    return found[0].removesuffix(value) + _QUERY.sub(_hidden, value)
