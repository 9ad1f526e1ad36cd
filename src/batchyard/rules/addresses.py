"""Which network addresses a URL that a client gave may lead to."""

from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address
from typing import Literal

from msgspec import Struct

__all__ = ["Fence", "Ground", "ground_of"]

Ground = Literal["public", "private", "forbidden"]

# `is_global` alone is no filter: it is true for some of these, and for addresses of version 6
# that carry one of version 4 which is not.
_FORBIDDEN = (
    IPv4Network("192.0.0.0/24"),
    # Where clouds keep the credentials of a machine, beside the link-local ones.
    IPv4Network("100.100.100.200/32"),
    IPv4Network("168.63.129.16/32"),
    IPv4Network("192.88.99.0/24"),
    IPv6Network("fd00:ec2::/32"),
    IPv6Network("fd20:ce::/32"),
    IPv6Network("64:ff9b:1::/48"),
)
_PRIVATE = (
    IPv4Network("10.0.0.0/8"),
    IPv4Network("100.64.0.0/10"),
    IPv4Network("127.0.0.0/8"),
    IPv4Network("172.16.0.0/12"),
    IPv4Network("192.168.0.0/16"),
    IPv6Network("::1/128"),
    IPv6Network("fc00::/7"),
)
_UNICAST = IPv6Network("2000::/3")
# The last four bytes are an address of version 4: mapped, compatible, and behind NAT64.
_CARRIERS = (
    IPv6Network("::ffff:0:0/96"),
    IPv6Network("::/96"),
    IPv6Network("64:ff9b::/96"),
)
_PORTS = (443, 8443)


class Fence(Struct, frozen=True):
    """Where webhooks may go.

    `hosts`, each `HOST` or `HOST:PORT`, may be anywhere, without TLS too. `private` lets all URLs
    be plain HTTP, on any port, at addresses of this machine and its networks.
    """

    hosts: tuple[str, ...] = ()
    private: bool = False

    def fault_of(self, scheme: str, host: str, port: int) -> str | None:
        """What is wrong with a URL before its host is resolved; None where nothing is."""
        if self.private or self._names(host, port):
            return None
        if scheme != "https":
            return "it must begin with https://"
        if port not in _PORTS:
            return f"its port must be {_PORTS[0]} or {_PORTS[1]}"
        if host == "localhost" or host.endswith((".localhost", ".local", ".internal")):
            return "its host must be reached over the internet"
        return None

    def lets(self, scheme: str, host: str, port: int, ip: str) -> bool:
        """Whether a request to this URL may connect to the address that its host has."""
        if self.fault_of(scheme, host, port) is not None:
            return False
        ground = ground_of(ip)
        return ground == "public" or (
            self._names(host, port) or (self.private and ground == "private")
        )

    def _names(self, host: str, port: int) -> bool:
        return host in self.hosts or f"{host}:{port}" in self.hosts


def ground_of(text: str) -> Ground:
    """Tell where a numeric address is: on the internet, at home, or where nobody has business.

    Forbidden are link-local addresses, those of clouds' metadata, multicast and reserved ones.
    What is no numeric address is forbidden too.
    """
    try:
        address = ip_address(text.partition("%")[0])
    except ValueError:
        return "forbidden"
    if isinstance(address, IPv6Address) and (carried := _carried(address)):
        return _worst([_ground(one) for one in carried])
    return _ground(address)


def _ground(address: IPv4Address | IPv6Address) -> Ground:
    if any(address in network for network in _FORBIDDEN):
        return "forbidden"
    if any(address in network for network in _PRIVATE):
        return "private"
    routed = isinstance(address, IPv4Address) or address in _UNICAST
    if routed and address.is_global and not address.is_multicast and not address.is_reserved:
        return "public"
    return "forbidden"


def _carried(address: IPv6Address) -> list[IPv4Address]:
    """The addresses of version 4 that one of version 6 stands for."""
    if address.sixtofour is not None:
        return [address.sixtofour]
    if address.teredo is not None:
        return list(address.teredo)
    last = IPv4Address(int(address) & 0xFFFF_FFFF)
    if int(address) > 1 and any(address in carrier for carrier in _CARRIERS):
        return [last]
    return []


def _worst(grounds: list[Ground]) -> Ground:
    order: tuple[Ground, ...] = ("forbidden", "private", "public")
    return min(grounds, key=order.index)
