"""Who may ask: bearer tokens for what writes, and for predictions too where the settings say so.

Without a token everybody may, and then the service listens on this machine alone.
"""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import ClassVar

from starlette.datastructures import Headers
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import ASGIApp, Receive, Scope, Send

from services.core.errors import BellwetherError, SettingsError
from services.core.loopback import is_loopback
from services.core.tokens import MAKE_ONE, bearer_is_one_of, token_problem
from services.settings import Settings, secret_text, variable_of

Endpoint = Callable[[Request], Awaitable[Response]]


class Unauthorized(BellwetherError):
    """The caller sent no token that is known here."""

    code: ClassVar[str] = "unauthorized"


@dataclass(frozen=True, slots=True, kw_only=True)
class Access:
    """What is asked of callers, decided once: a route that everybody may use gets nothing put before it."""

    tokens: tuple[str, ...] = field(default=(), repr=False)
    predict_needs_token: bool = False

    @property
    def to_write(self) -> list[Middleware]:
        """What stands before a route that writes, and before batches, of which one keeps a worker busy for long."""
        return [Middleware(TokenFirst, access=self)] if self.tokens else []

    @property
    def to_predict(self) -> list[Middleware]:
        """What stands before a route that makes one prediction."""
        return self.to_write if self.predict_needs_token else []

    def before_predict(self, predict: Endpoint) -> Endpoint:
        """As `to_predict`, for who calls the endpoint without its route."""
        if not self.to_predict:
            return predict

        async def asked(request: Request) -> Response:
            self.check(request.headers)
            return await predict(request)

        return asked

    def check_write(self, headers: Headers) -> None:
        """As `to_write`, for a route that learns only from its body how much is asked. Raises `Unauthorized`."""
        if self.tokens:
            self.check(headers)

    def may_write(self, headers: Headers) -> bool:
        """For a route that tells everybody something, and more to who may write. Raises `Unauthorized` for a token
        that is not known: its sender expects more than what everybody gets."""
        if self.tokens and "authorization" not in headers:
            return False
        self.check_write(headers)
        return True

    def check(self, headers: Headers) -> None:
        """Raises `Unauthorized`."""
        if not bearer_is_one_of(headers.get("authorization", ""), self.tokens):
            raise Unauthorized("expected the header 'Authorization: Bearer …' with a token that this service knows")


OPEN = Access()
"""Everybody may do everything."""


class TokenFirst:
    """Middleware of a route: the token is looked at before anything of the body is read."""

    def __init__(self, app: ASGIApp, access: Access) -> None:
        self._app = app
        self._access = access

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        self._access.check(Headers(scope=scope))
        await self._app(scope, receive, send)


def access_of(settings: Settings) -> Access:
    """What the prediction service asks of its callers.

    Raises:
        SettingsError: a token cannot be one, or there is none although the settings need one. No message has a token.
    """
    tokens = tokens_of(settings)
    if not tokens:
        _require_none_needed(settings)
    return Access(tokens=tokens, predict_needs_token=settings.predict_needs_token)


def tokens_of(settings: Settings) -> tuple[str, ...]:
    """Every token that is accepted, the environment's first. Raises `SettingsError` as `access_of` does."""
    own = (settings.token,) if settings.token else ()
    return own + (_read(Path(settings.token_file)) if settings.token_file else ())


def token_to_send(settings: Settings) -> str:
    """The token for a client of a service with the same settings; "" for none. Raises `SettingsError`."""
    return next(iter(tokens_of(settings)), "")


def _require_none_needed(settings: Settings) -> None:
    remedy = f"set {variable_of('token')} or {variable_of('token_file')}; {MAKE_ONE}"
    if not is_loopback(settings.host):
        raise SettingsError(
            f"host is {settings.host}, where others than this machine could write features and outcomes without a "
            f"token; {remedy}. Or listen on 127.0.0.1"
        )
    if settings.predict_needs_token:
        raise SettingsError(f"{variable_of('predict_needs_token')} is true, but there is no token; {remedy}")


def _read(path: Path) -> tuple[str, ...]:
    """One token per line; blank lines and those that begin with # are passed over."""
    named = f"{variable_of('token_file')} {path}"
    lines = [(number, line.strip()) for number, line in enumerate(_lines(path, named), start=1)]
    numbered = [(number, line) for number, line in lines if line and not line.startswith("#")]
    if not numbered:
        raise SettingsError(f"{named} has no token; expected one per line, of which {MAKE_ONE}")
    for number, line in numbered:
        if problem := token_problem(line):
            raise SettingsError(f"{named}: line {number} {problem}; {MAKE_ONE}")
    return tuple(line for _, line in numbered)


def _lines(path: Path, named: str) -> list[str]:
    return secret_text(path, named=named, expected="a file with one token per line").splitlines()
