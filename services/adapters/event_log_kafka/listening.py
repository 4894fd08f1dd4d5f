"""Why a broker that is there takes nobody in: it speaks another protocol, or asks for another login.

The client tries until its time is up, and then says only that it could not begin. Once that is so, the listener is
asked for itself, with the one request that it answers before it knows who asks.
"""

import contextlib
import socket
import ssl
import struct
from dataclasses import dataclass
from typing import BinaryIO, Final

TRY_SECONDS: Final = 2.0
PROTOCOL: Final = "BELLWETHER_KAFKA_SECURITY_PROTOCOL"
MECHANISM: Final = "BELLWETHER_KAFKA_SASL_MECHANISM"
CA_FILE: Final = "BELLWETHER_KAFKA_CA_FILE"
LOGIN: Final = "BELLWETHER_KAFKA_USER and BELLWETHER_KAFKA_PASSWORD"

_CORRELATION: Final = 0x62656C6C
_SASL_HANDSHAKE: Final = struct.pack(">hhih", 17, 1, _CORRELATION, -1)
"""Its number, version 1, our number of the request, and no name of a client; what follows is a mechanism's name."""
_OTHER_MECHANISM: Final = 33
_NO_LOGIN: Final = 34
_LONGEST_ANSWER: Final = 10_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """What the settings expect of a listener."""

    protocol: str
    mechanism: str
    ca_file: str

    @property
    def tls(self) -> bool:
        return self.protocol.endswith("SSL")

    @property
    def login(self) -> bool:
        return self.protocol.startswith("SASL")


@dataclass(frozen=True, slots=True)
class Listener:
    """One that speaks Kafka's protocol; `code` is its answer to the mechanism, and `mechanisms` are those it knows."""

    tls: bool
    code: int
    mechanisms: tuple[str, ...]

    @property
    def protocol(self) -> str:
        encryption = "SSL" if self.tls else "PLAINTEXT"
        return encryption if self.code == _NO_LOGIN else f"SASL_{encryption}"


def misfit(server: str, wanted: Wanted) -> str:
    """What does not fit between the settings and what listens at host:port, in a sentence; "" if everything does."""
    try:
        listener = _asked(server, wanted.mechanism)
        if listener is None and wanted.tls:
            listener = _asked(server, wanted.mechanism, tls=_context(wanted.ca_file))
    except ssl.SSLCertVerificationError as error:
        return f"{server} has a certificate that is not trusted: {error.verify_message}; look at {CA_FILE}"
    except ssl.SSLError as error:
        return f"{server} speaks neither Kafka's protocol nor TLS that fits: {error.reason}; look at {PROTOCOL}"
    except (OSError, ValueError) as error:
        return f"no answer from {server}: {error}"
    return _sentence(server, listener, wanted)


def _sentence(server: str, listener: Listener | None, wanted: Wanted) -> str:
    if listener is None:
        expected = "another" if wanted.tls else "SSL or SASL_SSL"
        return f"{server} does not answer as Kafka does; {PROTOCOL} is {wanted.protocol}, expected {expected}"
    if (listener.tls, listener.code != _NO_LOGIN) != (wanted.tls, wanted.login):
        expected = listener.protocol
        return f"{server} listens for {expected}; {PROTOCOL} is {wanted.protocol}, expected {expected}"
    if wanted.login and listener.code == _OTHER_MECHANISM:
        offered = ", ".join(listener.mechanisms)
        return f"{server} offers the logins {offered}; {MECHANISM} is {wanted.mechanism!r}, expected one of them"
    return f"{server} fits, and refuses the login or is slow; look at {LOGIN}" if wanted.login else ""


def _asked(server: str, mechanism: str, *, tls: ssl.SSLContext | None = None) -> Listener | None:
    """None if what it answers is not Kafka's. Raises `OSError`, and `ValueError` for a server that has no port."""
    host, _, port = server.strip().rpartition(":")
    with contextlib.ExitStack() as stack:
        connection = stack.enter_context(socket.create_connection((host.strip("[]"), int(port)), TRY_SECONDS))
        if tls is not None:
            connection = stack.enter_context(tls.wrap_socket(connection, server_hostname=host.strip("[]")))
        name = mechanism.encode()
        request = _SASL_HANDSHAKE + struct.pack(">h", len(name)) + name
        connection.sendall(struct.pack(">i", len(request)) + request)
        try:
            return _understood(connection, is_tls=tls is not None)
        except (ConnectionError, struct.error, UnicodeDecodeError):
            return None


def _understood(connection: socket.socket, *, is_tls: bool) -> Listener | None:
    with connection.makefile("rb") as answer:
        length, correlation = struct.unpack(">ii", answer.read(8))
        if correlation != _CORRELATION or length > _LONGEST_ANSWER:
            return None
        code, count = struct.unpack(">hi", answer.read(6))
        return Listener(is_tls, code, tuple(_text(answer) for _ in range(count)))


def _text(answer: BinaryIO) -> str:
    (length,) = struct.unpack(">h", answer.read(2))
    return answer.read(length).decode()


def _context(ca_file: str) -> ssl.SSLContext:
    return ssl.create_default_context(cafile=ca_file or None)
