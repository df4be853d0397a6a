"""Host names and addresses that mean this machine to itself and nobody else."""

from __future__ import annotations

import ipaddress


def is_loopback_name(name: str) -> bool:
    """Whether a host name or address means this machine to itself, without asking a name server."""
    if name.rstrip(".").casefold() == "localhost":
        return True
    try:
        address = ipaddress.ip_address(name.strip("[]"))
    except ValueError:
        return False
    mapped = getattr(address, "ipv4_mapped", None)
    return (mapped or address).is_loopback
