"""Which hosts are this machine alone, and by which names listeners are called."""

import ipaddress
import re
from typing import Final

LOCALHOST: Final = "localhost"

_CALLED: Final = re.compile(r"(?:\[([0-9A-Fa-f:.]+)\]|([^\[\]:@/?#\s]+))(?::\d{0,5})?")
"""A Host header (RFC 9110): an address of IPv6 in brackets, or another or a name, and perhaps a port."""


def is_loopback(host: str) -> bool:
    """True for an address that nobody elsewhere can reach, and for the name `localhost`; no other is looked up."""
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return host.lower().removesuffix(".") == LOCALHOST
    mapped = getattr(address, "ipv4_mapped", None)
    return (mapped or address).is_loopback


def called_name(host: str) -> str:
    """The name or address of a Host header in lower case, without its port; "" where it has none."""
    found = _CALLED.fullmatch(host)
    return "" if found is None else (found[1] or found[2]).lower().removesuffix(".")
