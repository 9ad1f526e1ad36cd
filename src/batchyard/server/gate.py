"""The gate before every route: who asks, with what right.

It decides on `scope["path"]` and the headers alone, before a byte of the body is read.
"""

import asyncio
import math
from collections.abc import Sequence
from dataclasses import dataclass

from starlette.datastructures import State
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from batchyard.places.blobs import BlobCorruptError
from batchyard.places.log import log
from batchyard.places.store import is_full
from batchyard.places.store.rows import Bearer
from batchyard.rules.limits import Limits, limits_of_project
from batchyard.rules.pace import Pace, in_words, take
from batchyard.server.dialects import Dialect, heard
from batchyard.server.headers import Answering
from batchyard.server.keys import hash_secret, masked
from batchyard.server.origins import Origins
from batchyard.server.pages import Pages
from batchyard.server.scopes import ScopeName
from batchyard.server.unpacking import unpacking
from batchyard.server.yard import Yard
from batchyard.wire.errors import ApiError
from batchyard.wire.ids import ORGANIZATION, request_id
from batchyard.wire.objects import to_json

__all__ = ["Gate", "demand", "dialect_of", "key_id_of", "limits_of", "project_of"]

# Whoever is answered at all is answered by a server that lives.
_OPEN = ("/healthz", "/readyz")
_HEALTHY = b'{"status":"ok"}\n'
# A key that was good is asked for again when this is over, so that a revocation bites soon.
_KEY_SECONDS = 0.5
_KEYS_REMEMBERED_MAX = 10_000
# The last use of a key is noted once in such a time.
_USED_SECONDS = 60
_CLIENT_ID_CHARACTERS_MAX = 512
_NO_STORAGE = ApiError.unavailable(
    "The server cannot reach its storage now.", retry_after_seconds=5
)
# Whoever sent a file sends it no better at once: room is made by somebody.
_DISK_FULL = ApiError(
    507,
    "The server's disk is full: nothing of this request was stored.",
    code="insufficient_storage",
    type="server_error",
    headers={"x-should-retry": "false", "retry-after": "60"},
)
_DAMAGED = ApiError.file_corrupt("what was asked for")
# After these answers nobody reads the rest of the request's body, which may be long.
_CLOSING = (401, 403, 408, 413, 415, 429, 503, 507)
_OUR_FAULT = ApiError(
    500, "The server had an error while processing your request.", type="server_error"
)
_ARCHIVED = ApiError(
    401,
    "The project you are requesting has been archived and is no longer accessible",
    code="not_authorized_invalid_project",
)


@dataclass(frozen=True, slots=True)
class _Right:
    """What a good key gives, and until when (steady) that may be believed."""

    bearer: Bearer
    limits: Limits
    until: float


def project_of(scope: Scope) -> str:
    """The project of the key that opened the gate."""
    right: _Right = scope["state"].right
    return right.bearer.key.project_id


def key_id_of(scope: Scope) -> str:
    """The id of that key."""
    right: _Right = scope["state"].right
    return right.bearer.key.id


def limits_of(scope: Scope) -> Limits:
    """The limits of that project."""
    right: _Right = scope["state"].right
    return right.limits


def dialect_of(scope: Scope) -> Dialect:
    """The dialect in which the request was made."""
    dialect: Dialect = scope["state"].dialect
    return dialect


def demand(scope: Scope, needed: ScopeName, *, by_name: bool = False) -> None:
    """Refuse a key that was made for other things than this.

    One without scopes may do all, but what is to be allowed `by_name`.
    """
    right: _Right = scope["state"].right
    held = right.bearer.key.scopes
    if (held is None and by_name) or (held is not None and needed not in held):
        raise ApiError(
            403,
            f"You have insufficient permissions for this operation. Missing scopes: {needed}. "
            "Check that you have the correct role in your organization (Reader, Writer, Owner) "
            "and project (Member, Owner), and if you're using a restricted API key, that it has "
            "the necessary scopes.",
        )


class Gate:
    """Pure ASGI around the routes; nothing passes that it does not know, but to `pages`."""

    def __init__(self, app: ASGIApp, yard: Yard, pages: Pages) -> None:
        self._app, self._yard, self._pages = app, yard, pages
        self._origins = Origins(yard.settings.cors_origins)
        self._storage_faults: tuple[type[Exception], ...] = (OSError, *yard.records.faults)
        self._good: dict[str, _Right] = {}
        # When the bucket of each key is full again (steady).
        self._full_at: dict[str, float] = {}
        self._noting: dict[str, asyncio.Task[None]] = {}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        if scope["type"] != "http":
            return
        answer = Answering(send, request_id(self._yard.chance))
        dialect, scope = heard(scope)
        try:
            answer.client_request_id = _client_request_id(scope)
            if await self._open(scope, receive, answer):
                return
            await self._admitted(dialect, scope, receive, answer)
        except ApiError as error:
            await self._refuse(error, dialect, scope, receive, answer)
        except ClientDisconnect:
            pass
        except BlobCorruptError as fault:
            # Most routes know what is damaged, and say more.
            log.error("file_corrupt", **answer.names(), path=scope["path"], why=str(fault))
            await self._refuse(_DAMAGED, dialect, scope, receive, answer)
        except self._storage_faults as fault:
            log.error("storage_failed", **answer.names(), fault=str(fault))
            refusal = _DISK_FULL if is_full(fault) else _NO_STORAGE
            await self._refuse(refusal, dialect, scope, receive, answer)
        except Exception:
            log.exception("request_failed", **answer.names(), path=scope["path"])
            await answer.whole(500, _OUR_FAULT.body(), {})
        if answer.client_request_id is not None:
            # Whoever names a request wants to find it again.
            log.info("request", **answer.names(), method=scope["method"], path=scope["path"][:200])

    async def _tell_health(self, path: str, answer: Answering) -> None:
        """Tell whether the server lives, or whether it can do what it is there for."""
        readiness = self._yard.readiness
        if path != "/readyz" or readiness is None:
            await answer.whole(200, _HEALTHY, {})
            return
        found = await readiness()
        body = to_json(found) + b"\n"
        if found.status == "ok":
            await answer.whole(200, body, {})
        else:
            await answer.whole(503, body, {"retry-after": "5"})

    async def _open(self, scope: Scope, receive: Receive, answer: Answering) -> bool:
        """Answer what may be asked without a key; False where a key is needed."""
        path, method = scope["path"], scope["method"]
        origin = next(iter(_fields(scope, b"origin")), None)
        answer.headers |= self._origins.headers(origin)
        if method == "OPTIONS" and origin and _fields(scope, b"access-control-request-method"):
            granted = self._origins.preflight(origin, Request(scope).headers)
            await Response(status_code=204, headers=granted)(scope, receive, answer.send)
        elif path in _OPEN and method in ("GET", "HEAD"):
            await self._tell_health(path, answer)
        elif (page := self._pages.at(path, method)) is not None:
            await page(scope, receive, answer.send)
        else:
            return False
        return True

    async def _refuse(
        self, error: ApiError, dialect: Dialect, scope: Scope, receive: Receive, answer: Answering
    ) -> None:
        closing = error.status in _CLOSING and _has_body(scope)
        body = self._named(error, dialect).body()
        await answer.whole(error.status, body, error.headers, rest=receive if closing else None)

    def _named(self, error: ApiError, dialect: Dialect) -> ApiError:
        """An error by the name that it has in a dialect, where that is wanted."""
        code = dialect.error_codes.get(error.status)
        if code is None or not self._yard.settings.azure_errors:
            return error
        return ApiError(error.status, error.message, code=code, param=error.param, type=error.type)

    async def _admitted(
        self, dialect: Dialect, scope: Scope, receive: Receive, answer: Answering
    ) -> None:
        """Let a request with a good key through to its route."""
        secret = _secret(scope, dialect)
        right = await self._right(secret)
        if (welcome := scope["state"].get("welcome")) is not None:
            welcome()
        scope["state"] = State({"right": right, "dialect": dialect})
        answer.headers["openai-organization"] = ORGANIZATION
        self._hold_to_pace(right.bearer.key.id, answer)
        _check_owner(scope, right)
        self._note_use(right.bearer)
        unpacked = unpacking(_fields(scope, b"content-encoding"), receive)

        async def receive_while_good() -> Message:
            # A long upload ends when its key does.
            await self._right(secret)
            return await unpacked()

        await self._app(scope, receive_while_good, answer.send)

    async def _right(self, secret: str) -> _Right:
        hashed = hash_secret(secret)
        now = self._yard.clock.steady()
        remembered = self._good.get(hashed)
        if remembered is not None and remembered.until > now:
            return remembered
        self._good.pop(hashed, None)
        bearer = await self._yard.reads.run(self._yard.identity.bearer, hashed, self._yard.now())
        if bearer is None:
            raise _refused(f"Incorrect API key provided: {masked(secret)}.", code="invalid_api_key")
        project = bearer.project
        limits = self._yard.limits
        if project is not None:
            if project.archived_at is not None:
                raise _ARCHIVED
            limits = limits_of_project(limits, project.profile, project.limits)
        if len(self._good) >= _KEYS_REMEMBERED_MAX:
            self._good.clear()
        right = self._good[hashed] = _Right(bearer, limits, now + _KEY_SECONDS)
        return right

    def _hold_to_pace(self, key_id: str, answer: Answering) -> None:
        """Count a request of a key, and refuse it if there were too many within a minute."""
        most, now = self._yard.settings.requests_per_minute, self._yard.clock.steady()
        pace = take(self._full_at.get(key_id, now), now, most)
        if len(self._full_at) >= _KEYS_REMEMBERED_MAX:
            self._full_at = {key: until for key, until in self._full_at.items() if until > now}
        self._full_at[key_id] = pace.full_at
        answer.headers["x-ratelimit-limit-requests"] = str(most)
        answer.headers["x-ratelimit-remaining-requests"] = str(pace.remaining)
        answer.headers["x-ratelimit-reset-requests"] = in_words(pace.reset_seconds)
        if not pace.allowed:
            raise _too_many(most, pace)

    def _note_use(self, bearer: Bearer) -> None:
        """Have it written that a key is in use; the request does not wait for it."""
        key, now = bearer.key, self._yard.now()
        recent = key.last_used_at is not None and now - key.last_used_at < _USED_SECONDS
        if recent or key.id in self._noting:
            return
        noting = asyncio.create_task(self._used(key.id, now))
        self._noting[key.id] = noting
        noting.add_done_callback(lambda _task: self._noting.pop(key.id))

    async def _used(self, key_id: str, now: int) -> None:
        try:
            await self._yard.store.run(self._yard.identity.key_used, key_id, now)
        except self._storage_faults as fault:
            log.warning("use_not_noted", key=key_id, fault=str(fault))


def _secret(scope: Scope, dialect: Dialect) -> str:
    found = _fields(scope, b"authorization")
    bare = _fields(scope, dialect.key_field) if dialect.key_field is not None else ()
    if bare:
        # Some clients send both, and then it is twice the same.
        if not bare[0] or {*bare, *found} - {bare[0], f"Bearer {bare[0]}"}:
            raise _refused("The api-key header must hold one key.", code="invalid_api_key")
        return bare[0]
    if not found:
        raise _refused(
            "You didn't provide an API key. You need to provide your API key in an Authorization "
            "header using Bearer auth (i.e. Authorization: Bearer YOUR_KEY).",
            code=None,
        )
    scheme, _, secret = found[0].partition(" ")
    if len(found) > 1 or scheme.lower() != "bearer" or not secret.strip():
        raise _refused(
            "The Authorization header must be 'Bearer YOUR_KEY', once.", code="invalid_api_key"
        )
    return secret.strip()


def _check_owner(scope: Scope, right: _Right) -> None:
    """Refuse who believes to work elsewhere; clients send empty headers for none.

    There is one organization here. Many a shell still names one of OpenAI's, which does no harm.
    """
    owners = [("Project", right.bearer.key.project_id, "mismatched_project")]
    if not right.limits.extras:
        owners.append(("Organization", ORGANIZATION, "mismatched_organization"))
    for name, own, code in owners:
        if any(
            found not in ("", own) for found in _fields(scope, f"openai-{name.lower()}".encode())
        ):
            message = f"OpenAI-{name} header should match {name.lower()} for API key"
            raise _refused(message, code=code)


def _too_many(most: int, pace: Pace) -> ApiError:
    return ApiError(
        429,
        f"Rate limit reached for this API key in organization {ORGANIZATION} on requests per min "
        f"(RPM): Limit {most}, Used {most}, Requested 1. Please try again in "
        f"{in_words(pace.wait_seconds)}.",
        type="requests",
        code="rate_limit_exceeded",
        headers={
            "retry-after": str(math.ceil(pace.wait_seconds)),
            "retry-after-ms": str(math.ceil(1_000 * pace.wait_seconds)),
            "x-should-retry": "true",
        },
    )


def _client_request_id(scope: Scope) -> str | None:
    """The name that a client gave its request."""
    names = _fields(scope, b"x-client-request-id")
    if not names:
        return None
    if not names[0].isascii() or len(names[0]) > _CLIENT_ID_CHARACTERS_MAX:
        raise ApiError(
            400,
            "The X-Client-Request-Id header must contain only ASCII characters and be no more than "
            f"{_CLIENT_ID_CHARACTERS_MAX} characters long.",
        )
    return names[0]


def _fields(scope: Scope, name: bytes) -> Sequence[str]:
    return [
        value.decode("utf-8", "surrogateescape").strip()
        for field, value in scope["headers"]
        if field == name
    ]


def _refused(message: str, *, code: str | None) -> ApiError:
    return ApiError(401, message, code=code)


def _has_body(scope: Scope) -> bool:
    fields = dict(scope["headers"])
    return b"transfer-encoding" in fields or fields.get(b"content-length", b"0") != b"0"
