"""What goes to another machine is encrypted, unless somebody said by name that it need not be."""

from collections.abc import Iterable
from typing import Final

from services.core.errors import SettingsError
from services.core.loopback import called_name, is_loopback

OPT_OUT: Final = "BELLWETHER_ALLOW_PLAINTEXT=true"


def require_tls(what: str, hosts: Iterable[str], *, encrypted: bool, allowed: bool, found: str, remedy: str) -> None:
    """Raises `SettingsError` where one of the hosts is not this machine, and nothing encrypts what goes there.

    Args:
        what: whose hosts they are.
        allowed: whether somebody said that it need not be encrypted.
        found: what there is in place of TLS; no secret.
        remedy: how TLS is asked for.
    """
    if encrypted or allowed:
        return
    for host in hosts:
        if not is_here(host):
            raise SettingsError(
                f"{what} on {host}: found {found}, expected TLS, since others on the way could read and change "
                f"everything; {remedy}. Where the network itself is closed: {OPT_OUT}"
            )


def is_here(host: str) -> bool:
    """Whether nothing leaves this machine: a loopback address or name, perhaps with a port, or a socket's path."""
    return host.startswith(("/", "@")) or is_loopback(host) or is_loopback(called_name(host))
