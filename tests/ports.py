"""Free ports for servers that tests start."""

import socket


def free_port() -> int:
    """A port on 127.0.0.1 that nobody listened on a moment ago."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def stack_ports() -> dict[str, int]:
    """The settings that give each process of a whole stack a port of its own."""
    of = ("port", "monitor_port", "consumer_port", "forwarder_port", "lifecycle_port")
    return {name: free_port() for name in of}
