"""Bearer tokens (RFC 6750): which texts may be one, and whether a caller sent one of those that are known."""

import base64
import binascii
import hmac
import re
from collections.abc import Callable, Sequence
from typing import Final

SHORTEST: Final = 16
"""Characters. Sixteen of base64 are 96 bits, which nobody guesses over a network; chosen passwords are shorter."""

MAKE_ONE: Final = "python -c 'import secrets; print(secrets.token_urlsafe(32))' makes one"

_WELL_FORMED: Final = re.compile(r"[A-Za-z0-9._~+/-]+=*")

Same = Callable[[bytes, bytes], bool]


def token_problem(text: str) -> str | None:
    """Why it cannot be a token, without a character of it; None for one that can."""
    if not text:
        return "is empty"
    if len(text) < SHORTEST:
        return f"is shorter than {SHORTEST} characters"
    if not _WELL_FORMED.fullmatch(text):
        return (
            "has a character that no bearer token may have; letters, digits and -._~+/ may stand in one, = at its end"
        )
    return None


def bearer_is_one_of(header: str, tokens: Sequence[str], *, same: Same = hmac.compare_digest) -> bool:
    """Whether an Authorization header, "" for none, carries one of the tokens.

    How long it takes tells neither how much of a token was right, nor which of them was meant: each is compared, also
    behind one that fits.
    """
    scheme, _, given = header.partition(" ")
    sent = given.strip(" ").encode()
    fits = [same(sent, token.encode()) for token in tokens]
    return scheme.lower() == "bearer" and any(fits)


def login_is_one_of(header: str, tokens: Sequence[str], *, same: Same = hmac.compare_digest) -> bool:
    """The same, also for a token that a browser sends as the password of a login (RFC 7617), under any user name."""
    scheme, _, given = header.partition(" ")
    if scheme.lower() != "basic":
        return bearer_is_one_of(header, tokens, same=same)
    try:
        _, _, password = base64.b64decode(given.strip(" "), validate=True).decode().partition(":")
    except (binascii.Error, UnicodeDecodeError, ValueError):
        return False
    return bearer_is_one_of(f"Bearer {password}", tokens, same=same)
