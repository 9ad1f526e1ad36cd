"""Posts to addresses that clients chose: resolved once, checked, and connected to as checked."""

import asyncio
import socket
import ssl
from collections.abc import Awaitable, Callable, Mapping, Sequence
from urllib.parse import urlsplit

from msgspec import Struct

from batchyard.places.request_head import BaseUrl, head_for
from batchyard.places.transport import Answer, Fault, Transport

__all__ = ["Address", "Posting", "Target", "numeric_of", "resolve_by_system"]

_PATHS_MAX = 2_048
_ADDRESSES_MAX = 4
# The answer's body says nothing to us; this much is read so as not to hang up on the receiver.
_BODY_BYTES_MAX = _HEADERS_BYTES_MAX = 65_536


class Address(Struct, frozen=True):
    """Where a URL leads: one of the numeric addresses of its host."""

    scheme: str
    host: str
    port: int
    ip: str


class Target(Struct, frozen=True):
    """A URL to post to, taken apart."""

    scheme: str
    host: str
    port: int
    origin: str
    path: str

    @classmethod
    def parse(cls, text: str) -> "Target":
        """Read a URL, as the one parser there is; ValueError says what is wrong with it."""
        if len(text) > _PATHS_MAX or "#" in text:
            raise ValueError(f"A URL has at most {_PATHS_MAX} characters and no fragment.")
        try:
            parts = urlsplit(text)
        except ValueError as error:
            raise ValueError(f"This is not a URL that can be read: {error}.") from None
        url = BaseUrl.parse(f"{parts.scheme}://{parts.netloc}")
        path = f"{parts.path or '/'}{'?' if parts.query else ''}{parts.query}"
        origin = f"{url.scheme}://{url.authority}"
        # Says no to what cannot stand in a request.
        head_for(origin, "POST", path, {})
        return cls(url.scheme, url.host, url.port, origin, path)


def numeric_of(host: str) -> str | None:
    """The address that a host is by itself, in any spelling that resolvers take; no DNS."""
    try:
        found = socket.getaddrinfo(host, None, type=socket.SOCK_STREAM, flags=socket.AI_NUMERICHOST)
    except (OSError, UnicodeError):
        return None
    return str(found[0][4][0])


Resolve = Callable[[str, int], Awaitable[Sequence[str]]]


async def resolve_by_system(host: str, port: int) -> Sequence[str]:
    """The numeric addresses of a host, in the order in which to try them."""
    found = await asyncio.get_running_loop().getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return list(dict.fromkeys(str(one[4][0]) for one in found))


class Posting:
    """One request at a time to a target, over a connection of its own; redirects are answers.

    `allowed` says of every address that a name resolves to whether it may be connected to. One
    that may not refuses them all.
    """

    def __init__(
        self,
        allowed: Callable[[Address], bool],
        *,
        timeout_seconds: float = 15.0,
        at_once_max: int = 32,
        resolve: Resolve = resolve_by_system,
        ssl_context: ssl.SSLContext | None = None,
    ) -> None:
        self._allowed = allowed
        self._timeout_seconds, self._resolve = timeout_seconds, resolve
        self._ssl_context = ssl_context
        self._room = asyncio.Semaphore(at_once_max)

    async def post(self, url: str, headers: Mapping[str, str], body: bytes) -> Answer | Fault:
        """Post once. Everything together, names and handshakes too, ends within the timeout.

        Whoever finds no room among those who post waits for it first.
        """
        try:
            target = Target.parse(url)
            head = head_for(target.origin, "POST", target.path, headers) + b"%d\r\n\r\n" % len(body)
        except ValueError as error:
            return Fault("invalid_url", str(error), sent=False)
        async with self._room:
            return await self._post(target, head, body)

    async def _post(self, target: Target, head: bytes, body: bytes) -> Answer | Fault:
        deadline = asyncio.get_running_loop().time() + self._timeout_seconds
        try:
            async with asyncio.timeout_at(deadline):
                ips = await self._resolve(target.host, target.port)
        except TimeoutError:
            return Fault("request_timeout", "The name was not resolved in time.", sent=False)
        except (OSError, UnicodeError):
            detail = f"The name {target.host} could not be resolved."
            return Fault("unreachable", detail, sent=False)
        addresses = [Address(target.scheme, target.host, target.port, ip) for ip in ips]
        if not addresses or not all(self._allowed(one) for one in addresses):
            detail = f"{target.host} is at an address that must not be called from here."
            return Fault("address_refused", detail, sent=False)
        outcome: Answer | Fault = Fault("unreachable", "No address.", sent=False)
        tried = addresses[:_ADDRESSES_MAX]
        for number, address in enumerate(tried):
            left_seconds = max(0.001, deadline - asyncio.get_running_loop().time())
            transport = Transport(
                target.origin,
                address=address.ip,
                ssl_context=self._trust(target),
                # An address that swallows everything leaves some time for the others.
                connect_timeout_seconds=left_seconds / (len(tried) - number),
                headers_bytes_max=_HEADERS_BYTES_MAX,
            )
            try:
                outcome = await transport.fetch(
                    head, body, timeout_seconds=left_seconds, body_bytes_max=_BODY_BYTES_MAX
                )
            finally:
                await transport.aclose()
            if isinstance(outcome, Answer) or outcome.sent:
                break
        return outcome

    def _trust(self, target: Target) -> ssl.SSLContext | None:
        if target.scheme == "https" and self._ssl_context is None:
            self._ssl_context = ssl.create_default_context()
        return self._ssl_context
