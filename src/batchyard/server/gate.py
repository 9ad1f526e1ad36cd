"""The gate before every route: who asks, with what right; and the headers of every answer.

It decides on `scope["path"]` and the headers alone, before a byte of the body is read.
"""

import asyncio
import time
from contextlib import suppress

import structlog
from starlette.datastructures import State
from starlette.requests import ClientDisconnect
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from batchyard.places.store.rows import KeyRow
from batchyard.server.keys import hash_secret, masked
from batchyard.server.yard import Yard
from batchyard.wire.errors import ApiError
from batchyard.wire.ids import request_id

__all__ = ["Gate", "project_of"]

# Whoever is answered at all is answered by a server whose store is open.
_OPEN = dict.fromkeys(("/healthz", "/readyz"), b'{"status":"ok"}\n')
# A key that was good is asked for again when this is over, so that a revocation bites soon.
_KEY_SECONDS = 0.5
_KEYS_REMEMBERED_MAX = 10_000
_NO_STORAGE = ApiError.unavailable(
    "The server cannot store anything now: its disk may be full.", retry_after_seconds=5
)
# After these answers nobody reads the rest of the request's body, which may be long.
_CLOSING = (401, 408, 413, 415)
_DISCARDED_BYTES_MAX, _DISCARDING_SECONDS = 16 << 20, 2.0
_OUR_FAULT = ApiError(
    500, "The server had an error while processing your request.", type="server_error"
)

log = structlog.get_logger()


def project_of(scope: Scope) -> str:
    """The project of the key that opened the gate."""
    project: str = scope["state"].project_id
    return project


class Gate:
    """Pure ASGI around the routes; nothing passes that it does not know."""

    def __init__(self, app: ASGIApp, yard: Yard) -> None:
        self._app, self._yard = app, yard
        self._storage_faults: tuple[type[Exception], ...] = (OSError, *yard.records.faults)
        self._good: dict[str, tuple[float, KeyRow]] = {}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        if scope["type"] != "http":
            return
        answer = _Answer(send, request_id(self._yard.chance))
        try:
            if scope["path"] in _OPEN and scope["method"] in ("GET", "HEAD"):
                await answer.whole(200, _OPEN[scope["path"]], {})
                return
            scope["state"] = State({"project_id": (await self._key(scope)).project_id})
            _refuse_encoded(scope)
            await self._app(scope, receive, answer.send)
        except ApiError as error:
            closing = error.status in _CLOSING and _has_body(scope)
            await answer.whole(
                error.status, error.body(), error.headers, rest=receive if closing else None
            )
        except ClientDisconnect:
            pass
        except self._storage_faults as fault:
            log.error("storage_failed", request_id=answer.request_id, fault=str(fault))
            await answer.whole(503, _NO_STORAGE.body(), _NO_STORAGE.headers)
        except Exception:
            log.exception("request_failed", request_id=answer.request_id, path=scope["path"])
            await answer.whole(500, _OUR_FAULT.body(), {})

    async def _key(self, scope: Scope) -> KeyRow:
        secret = _secret(scope)
        hashed = hash_secret(secret)
        now = self._yard.clock.steady()
        remembered = self._good.get(hashed)
        if remembered is not None and remembered[0] > now:
            return remembered[1]
        self._good.pop(hashed, None)
        key = await self._yard.store.run(self._yard.records.key, hashed)
        if key is None:
            raise _refused(f"Incorrect API key provided: {masked(secret)}.", code="invalid_api_key")
        if len(self._good) >= _KEYS_REMEMBERED_MAX:
            self._good.clear()
        self._good[hashed] = (now + _KEY_SECONDS, key)
        return key


class _Answer:
    """Sends an answer with the headers that every answer has."""

    def __init__(self, send: Send, request_id: str) -> None:
        self._send, self.request_id = send, request_id
        self._began = time.perf_counter()
        self._started = False

    async def send(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self._started = True
            milliseconds = int(1000 * (time.perf_counter() - self._began))
            message["headers"] = [
                *message.get("headers", ()),
                (b"x-request-id", self.request_id.encode()),
                (b"openai-processing-ms", b"%d" % milliseconds),
                (b"openai-version", b"2020-10-01"),
                (b"cache-control", b"no-store"),
            ]
        await self._send(message)

    async def whole(
        self, status: int, body: bytes, headers: dict[str, str], *, rest: Receive | None = None
    ) -> None:
        """Send all of an answer, unless one has begun already.

        With `rest`, the connection closes, and the body of the request may still be under way.
        """
        if self._started:
            return
        fields = {"content-type": "application/json", "content-length": str(len(body))} | headers
        if rest is not None:
            fields["connection"] = "close"
        await self.send(
            {
                "type": "http.response.start",
                "status": status,
                "headers": [(name.encode(), text.encode()) for name, text in fields.items()],
            }
        )
        await self.send({"type": "http.response.body", "body": body, "more_body": rest is not None})
        if rest is not None:
            await _discard(rest)
            await self.send({"type": "http.response.body", "body": b""})


async def _discard(receive: Receive) -> None:
    """Take no notice of a body for a while.

    Who still writes when the connection closes would never come to read the answer.
    """
    left_bytes = _DISCARDED_BYTES_MAX
    with suppress(TimeoutError):
        async with asyncio.timeout(_DISCARDING_SECONDS):
            while left_bytes > 0:
                message = await receive()
                left_bytes -= len(message.get("body", b""))
                if not message.get("more_body"):
                    return


def _secret(scope: Scope) -> str:
    found: list[bytes] = [value for name, value in scope["headers"] if name == b"authorization"]
    if not found:
        raise _refused(
            "You didn't provide an API key. You need to provide your API key in an Authorization "
            "header using Bearer auth (i.e. Authorization: Bearer YOUR_KEY).",
            code=None,
        )
    scheme, _, secret = found[0].decode("utf-8", "surrogateescape").partition(" ")
    if len(found) > 1 or scheme.lower() != "bearer" or not secret.strip():
        raise _refused(
            "The Authorization header must be 'Bearer YOUR_KEY', once.", code="invalid_api_key"
        )
    return secret.strip()


def _refused(message: str, *, code: str | None) -> ApiError:
    return ApiError(401, message, code=code)


def _has_body(scope: Scope) -> bool:
    fields = dict(scope["headers"])
    return b"transfer-encoding" in fields or fields.get(b"content-length", b"0") != b"0"


def _refuse_encoded(scope: Scope) -> None:
    for name, value in scope["headers"]:
        if name == b"content-encoding" and value.strip().lower() != b"identity":
            raise ApiError(415, "Send the request body without Content-Encoding.")
