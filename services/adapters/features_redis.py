"""Online features in Redis: a hash per model and entity, so that a look-up is one round trip."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from datetime import datetime
from ssl import CERT_NONE
from typing import Any, Final
from urllib.parse import parse_qs, urlsplit

import msgspec
from redis.asyncio import Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import RedisError, ResponseError

from services.adapters.wire import require_tls
from services.core.clock import FIRST_MICROSECOND, LAST_MICROSECOND, from_microseconds, to_microseconds
from services.core.errors import ContentRefused, FeatureSourceDown, SettingsError
from services.core.features import Reading, WriteResult
from services.core.urls import redacted, secret_in

CONNECT_SECONDS: Final = 0.5
ANSWER_SECONDS: Final = 1.0
"""For a feed's write. Look-ups have a budget of their own, far below either."""
TLS: Final = "rediss"
SCHEMES: Final = ("redis", TLS)
TLS_PARAMETERS: Final = "ssl_"
"""What the names of those of TLS begin with."""
PARAMETERS: Final = frozenset(
    {
        *("client_name", "db", "protocol", "health_check_interval", "max_connections"),
        *("socket_connect_timeout", "socket_keepalive", "socket_timeout"),
    }
)
"""Of a URL's query. Others change what the client makes of keys and values, or it knows them not and says so at each
look-up: under `decode_responses` every value would be missing."""

WRONG_TYPE: Final = "WRONGTYPE"
"""How the server's answer begins where a key holds no hash."""

_SEPARATOR: Final = b":"

# One field after the other, all in one step of the server's: the newer observation stays, and of two at the same moment
# the one that is written last. A field that cannot be read has no time, and is not kept.
_KEEP_THE_LATEST: Final = f"""
local function is_value(text)
    local decoded, found = pcall(cjson.decode, '[' .. text .. ']')
    return decoded and #found == 1 and type(found[1]) ~= 'table'
end
local function time_of(kept)
    local digits, value = string.match(kept or '', '^(-?%d+):(.+)$')
    local at = digits and tonumber(digits)
    return at and at >= {FIRST_MICROSECOND} and at <= {LAST_MICROSECOND} and is_value(value) and at
end
if redis.call('TYPE', KEYS[1]).ok ~= 'hash' then
    redis.call('DEL', KEYS[1])
end
local latest = tonumber(ARGV[1])
local results = {{}}
for place = 2, #ARGV, 2 do
    local name, written = ARGV[place], ARGV[place + 1]
    local kept = redis.call('HGET', KEYS[1], name)
    local kept_at, written_at = time_of(kept), time_of(written)
    local result = '{WriteResult.WRITTEN}'
    if kept_at and kept_at <= latest and kept_at >= written_at then
        if kept_at > written_at then
            result = '{WriteResult.KEPT_NEWER}'
        else
            result = kept == written and '{WriteResult.DUPLICATE}' or '{WriteResult.CORRECTED}'
        end
    end
    if result == '{WriteResult.WRITTEN}' or result == '{WriteResult.CORRECTED}' then
        redis.call('HSET', KEYS[1], name, written)
    end
    results[#results + 1] = result
end
return results
"""

_encode: Final = msgspec.json.Encoder().encode
_decode: Final = msgspec.json.Decoder(bool | float | str | None).decode


class FeaturesRedis:
    """See `services.core.ports.OnlineFeatures`. Belongs to the event loop that first uses it.

    A field holds its value's own time in microseconds, a colon, and the value as JSON. What somebody else has put there
    instead, or under the key itself, is no value: it reads as `missing`, and the next write takes its place. The
    server's own memory and eviction decide how long entities stay that nobody writes any more; what is evicted is
    `missing`.

    Args:
        url: such as `redis://127.0.0.1:6379/0`, or `rediss://` for TLS; without a password. Its query may name files:
            `ssl_ca_certs`, and `ssl_certfile` with `ssl_keyfile` for a server that asks for a certificate.
        prefix: what the keys begin with.

    Raises:
        SettingsError: the URL is none, has a password in it or what the client does not know, or leads to another
            machine without TLS, or without a look at who answers there.
    """

    def __init__(
        self, url: str, *, password: str = "", prefix: str = "bellwether", allow_plaintext: bool = False
    ) -> None:
        _require_sound(url, allow_plaintext=allow_plaintext)
        self._url = redacted(url)
        self._prefix = prefix
        self._client = _client(url, password, allow_plaintext=allow_plaintext)

    async def read(self, model: str, entity_id: str, names: Sequence[str]) -> dict[str, Reading]:
        with self._translated():
            found = await self._hash(self._key(model, entity_id), names)
        readings = {name: _reading(kept) for name, kept in zip(names, found, strict=False) if isinstance(kept, bytes)}
        return {name: reading for name, reading in readings.items() if reading is not None}

    async def write(
        self, model: str, entity_id: str, readings: Mapping[str, Reading], *, not_after: datetime | None = None
    ) -> dict[str, WriteResult]:
        with self._refusing(ValueError, OverflowError):
            latest = LAST_MICROSECOND if not_after is None else to_microseconds(not_after)
            fields = [part for name, reading in readings.items() for part in (name, _kept(reading))]
        with self._translated():
            results = await self._client.eval(_KEEP_THE_LATEST, 1, self._key(model, entity_id), latest, *fields)
        return {name: WriteResult(result.decode()) for name, result in zip(readings, results, strict=True)}

    async def close(self) -> None:
        await self._client.aclose()

    async def _hash(self, key: str, names: Sequence[str]) -> Sequence[bytes | str | None]:
        """Nothing where the key holds something else: that concerns one entity, and the server answers for others."""
        try:
            return await self._client.hmget(key, list(names))
        except ResponseError as error:
            if not str(error).startswith(WRONG_TYPE):
                raise
            return []

    def _key(self, model: str, entity_id: str) -> str:
        return f"{self._prefix}:features:{model}:{entity_id}"

    @contextmanager
    def _refusing(self, *errors: type[Exception]) -> Iterator[None]:
        """These are about what is to be kept, whoever keeps it."""
        try:
            yield
        except errors as error:
            raise ContentRefused(f"online features at {self._url} refuse what they were given: {error}") from error

    @contextmanager
    def _translated(self) -> Iterator[None]:
        """A server that is away, and one that refuses, are down alike."""
        try:
            with self._refusing(UnicodeEncodeError):
                yield
        except (RedisError, OSError, TimeoutError, ValueError) as error:
            raise FeatureSourceDown(f"online features at {self._url}: {type(error).__name__}: {error}") from error


def _require_sound(url: str, *, allow_plaintext: bool) -> None:
    """Raises `SettingsError`."""
    if problem := secret_in(url):
        raise SettingsError(
            f"the URL of the online features {problem}, which logs would show; set BELLWETHER_FEATURES_PASSWORD instead"
        )
    host, scheme = _host(url)
    if scheme not in SCHEMES or not host:
        raise SettingsError(
            f"the URL of the online features is {redacted(url)!r}; expected redis://HOST:PORT/0 or rediss://…"
        )
    for name in parse_qs(urlsplit(url).query, keep_blank_values=True):
        if name not in PARAMETERS and not name.startswith(TLS_PARAMETERS):
            raise SettingsError(
                f"the URL of the online features has the parameter {name[:64]!r}; expected one of "
                f"{', '.join(sorted(PARAMETERS))}, or one of TLS ({TLS_PARAMETERS}…)"
            )
    require_tls(
        "the online features",
        [host],
        encrypted=scheme == TLS,
        allowed=allow_plaintext,
        found="redis://",
        remedy="say rediss:// in BELLWETHER_FEATURES",
    )


def _client(url: str, password: str, *, allow_plaintext: bool) -> Redis:
    """Raises `SettingsError`."""
    try:
        client = Redis.from_url(
            url,
            password=password or None,
            socket_connect_timeout=CONNECT_SECONDS,
            socket_timeout=ANSWER_SECONDS,
            # A second attempt would wait for the same server again; who looks up asks the rule meanwhile.
            retry=Retry(NoBackoff(), 0),
        )
        # What the query says is looked at by a connection alone, here by one that is not opened.
        connection: Any = client.connection_pool.make_connection()  # type: ignore[no-untyped-call]
    except (TypeError, ValueError, RedisError) as error:
        raise SettingsError(
            f"the URL of the online features is {redacted(url)!r}, which cannot be used: {error}; its query may have "
            "ssl_ca_certs, ssl_certfile and ssl_keyfile"
        ) from None
    tls = getattr(connection, "ssl_context", None)
    require_tls(
        "the online features",
        [connection.host],
        encrypted=tls is None or bool(tls.check_hostname and tls.cert_reqs != CERT_NONE),
        allowed=allow_plaintext,
        found="rediss:// that does not look at who answers",
        remedy="leave ssl_cert_reqs and ssl_check_hostname out, and name the authority with ssl_ca_certs",
    )
    return client


def _host(url: str) -> tuple[str, str]:
    """Host and scheme, "" for what there is not."""
    with suppress(ValueError):
        parts = urlsplit(url)
        return parts.hostname or "", parts.scheme if parts.port != 0 else ""
    return "", ""


def _kept(reading: Reading) -> bytes:
    return b"%d%b%b" % (to_microseconds(reading.observed_at), _SEPARATOR, _encode(reading.value))


def _reading(kept: bytes) -> Reading | None:
    """None for what somebody else has written, and is no reading."""
    observed_at, _, value = kept.partition(_SEPARATOR)
    try:
        return Reading(_decode(value), from_microseconds(int(observed_at)))
    except (ValueError, OverflowError, msgspec.DecodeError):
        return None
