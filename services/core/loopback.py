"""Which hosts are this machine alone."""

import ipaddress


def is_loopback(host: str) -> bool:
    """True for an address that nobody elsewhere can reach, and for the name `localhost`; no other is looked up."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
