"""Who may ask: the rules of every port that we listen on.

Without a token everybody may, and then a port is open to this machine alone, by the names of this machine: a page of
another site, whose name was made to lead here (DNS rebinding), is refused. With a token, what writes asks for it; so do
predictions where the settings say so, and what the monitor shows where it listens beyond this machine. Nothing that
writes is taken from a page of another site. Probes are answered whoever asks, by whatever name.
"""

from collections.abc import Awaitable, Callable, Collection, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import ClassVar, Final, Literal
from urllib.parse import urlsplit

from starlette.datastructures import Headers
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import ASGIApp, Receive, Scope, Send

from services.core.errors import BellwetherError, SettingsError
from services.core.loopback import called_name, is_loopback
from services.core.tokens import MAKE_ONE, bearer_is_one_of, login_is_one_of, token_problem
from services.settings import Settings, secret_text, variable_of

Endpoint = Callable[[Request], Awaitable[Response]]
MonitorPort = Literal["monitor_host", "metrics_host"]
MONITOR_PORTS: Final[tuple[MonitorPort, ...]] = ("monitor_host", "metrics_host")

PROBES: Final = frozenset({"/livez", "/healthz", "/readyz", "/v2/health/live", "/v2/health/ready"})
"""What an orchestrator asks by the address of a container, without a token. The answer is alive, or ready."""
READS: Final = frozenset({"GET", "HEAD", "OPTIONS"})
NAMES_KEPT: Final = 1000
"""Host headers that are known to be good, which are few; a caller who varies its port must not fill the memory."""
NAME_BYTES: Final = 300
"""Of one that is kept. A name of DNS has 253 at most; where every name is good, a longer one is looked at each time."""

_HOST: Final = b"host"
_SITE: Final = b"sec-fetch-site"
_ORIGIN: Final = b"origin"
_TELLING: Final = frozenset({_HOST, _SITE, _ORIGIN})
_OWN_SITE: Final = (b"same-origin", b"none")
"""Of Sec-Fetch-Site: a page of ours, or a person who typed the address."""


class Unauthorized(BellwetherError):
    """The caller sent no token that is known here."""

    code: ClassVar[str] = "unauthorized"


class UnknownHost(BellwetherError):
    """The caller meant another server, or was led here by a name that is not ours."""

    code: ClassVar[str] = "unknown_host"


class CrossSite(BellwetherError):
    """A page of another site made a browser send what would change something here."""

    code: ClassVar[str] = "cross_site"


class Names:
    """The names by which a port may be called: those of this machine and some more, or any.

    A request without a Host named none; no browser leaves it out.
    """

    def __init__(self, more: Collection[str] = (), *, any_name: bool = False) -> None:
        self._more = frozenset(more)
        self._any = any_name
        self.good: set[bytes] = set()
        """Headers that were looked at and are right."""

    def problem(self, host: bytes) -> UnknownHost | None:
        """What is wrong with a Host header."""
        if not (self._any or self._is_good(host)):
            expected = ", ".join([*sorted(self._more), "localhost", "127.0.0.1", "[::1]"])
            return UnknownHost(
                f"found the host {host[:100].decode('latin-1')!r}, expected one of {expected}; name others in "
                f"{variable_of('allowed_hosts')}"
            )
        if len(self.good) < NAMES_KEPT and len(host) <= NAME_BYTES:
            self.good.add(host)
        return None

    def _is_good(self, host: bytes) -> bool:
        name = called_name(host.decode("latin-1"))
        return name in self._more or (bool(name) and is_loopback(name))


ANY_NAME: Final = Names(any_name=True)


@dataclass(frozen=True, slots=True, kw_only=True)
class Access:
    """What is asked of callers, decided once: a route that everybody may use gets nothing put before it."""

    tokens: tuple[str, ...] = field(default=(), repr=False)
    predict_needs_token: bool = False
    read_needs_token: bool = False
    names: Names = field(default=ANY_NAME, repr=False, compare=False)

    def problem(self, method: str, path: str, headers: Sequence[tuple[bytes, bytes]]) -> BellwetherError | None:
        """Why a request is not looked at any further, whatever it asks; None for nearly all of them."""
        good = self.names.good
        for name, value in headers:
            if name in _TELLING and not (name == _HOST and value in good):
                return self._looked_into(method, path, headers)
        return None

    def _looked_into(self, method: str, path: str, headers: Sequence[tuple[bytes, bytes]]) -> BellwetherError | None:
        if path in PROBES:
            return None
        hosts = [value for name, value in headers if name == _HOST]
        if (problem := next(filter(None, map(self.names.problem, hosts)), None)) is not None:
            return problem
        told = dict(headers)
        site, origin = told.get(_SITE), told.get(_ORIGIN)
        if method in READS or not _is_cross_site(site, origin, told.get(_HOST)):
            return None
        come_from = (origin or b"none")[:100].decode("latin-1")
        return CrossSite(
            f"{method} {path[:200]} came from a page of another site (Origin {come_from!r}) and would change something "
            "here; ask without a browser, or from a page of this server"
        )

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

    def check_read(self, headers: Headers) -> None:
        """For what only the monitor and the metrics' ports show. A browser sends a token as the password of a login.

        Raises `Unauthorized`.
        """
        if self.read_needs_token:
            self.check_login(headers)

    def check_login(self, headers: Headers) -> None:
        """As `check_write`, for a person with a browser too."""
        if self.tokens and not login_is_one_of(headers.get("authorization", ""), self.tokens):
            raise Unauthorized(
                "expected the header 'Authorization: Bearer …', or a login under any name, with a token that is known "
                f"here ({variable_of('monitor_token')}, or one of the service)"
            )

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
    return Access(
        tokens=tokens, predict_needs_token=settings.predict_needs_token, names=_names(settings, settings.host)
    )


def access_of_monitor(settings: Settings, port: MonitorPort) -> Access:
    """What the monitor, or a port that shows metrics alone, asks of its callers.

    Its own token opens both, and so do those of the service.

    Raises:
        SettingsError: it would listen beyond this machine without a token, or as `access_of` does.
    """
    own = (settings.monitor_token,) if settings.monitor_token else ()
    tokens = own + tokens_of(settings)
    host: str = getattr(settings, port)
    if not tokens and not is_loopback(host):
        raise SettingsError(
            f"{variable_of(port)} is {host}, where others than this machine could read what is shown there without a "
            f"token; set {variable_of('monitor_token')}; {MAKE_ONE}. Or listen on 127.0.0.1"
        )
    return Access(tokens=tokens, read_needs_token=bool(own) or (not is_loopback(host)), names=_names(settings, host))


def _names(settings: Settings, host: str) -> Names:
    """Beyond this machine there is a token, and a name that nobody chose is any. Raises `SettingsError`."""
    more = [called_name(each.strip()) for each in settings.allowed_hosts.split(",") if each.strip()]
    if not all(more) or any("*" in name for name in more):
        raise SettingsError(
            f"{variable_of('allowed_hosts')} is {settings.allowed_hosts!r}; expected names or addresses with commas "
            "between them, such as monitor.example.com,10.0.0.7"
        )
    return Names(more, any_name=not more and not is_loopback(host))


def _is_cross_site(site: bytes | None, origin: bytes | None, host: bytes | None) -> bool:
    """By what the browser says of it; an older one says where the page came from alone."""
    if site is not None:
        return site not in _OWN_SITE
    if origin is None:
        return False
    try:
        return urlsplit(origin.lower()).netloc != (host or b"").lower()
    except ValueError:
        return True


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
