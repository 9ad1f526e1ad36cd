"""Webhook endpoints: create, list, retrieve, update, delete, rotate the secret, test."""

from typing import Any

import msgspec
from starlette.requests import Request
from starlette.responses import Response

from batchyard.places.posting import Target, numeric_of
from batchyard.places.store.rows import WebhookRow
from batchyard.places.transport import Fault
from batchyard.rules.addresses import Fence
from batchyard.rules.telling import ENDPOINTS_MAX, ENDPOINTS_PAGE, OVERLAP_SECONDS
from batchyard.server.answers import answer
from batchyard.server.gate import project_of
from batchyard.server.params import (
    flag_of,
    json_object,
    limit_of,
    query_of,
    string_of,
    strings_of,
)
from batchyard.server.yard import Yard
from batchyard.wire.errors import ApiError
from batchyard.wire.ids import hex32
from batchyard.wire.objects import Deleted, Page
from batchyard.wire.webhooks import (
    EVENT_TYPES,
    EventTypes,
    WebhookEndpoint,
    WebhookTest,
    endpoint_id,
    event_body,
    hint_of,
    new_signing_secret,
    sample_id,
    signed_headers,
    signing_secrets,
)

__all__ = [
    "create",
    "delete",
    "event_types",
    "list_",
    "retrieve",
    "rotate_secret",
    "test",
    "update",
]


async def create(request: Request, yard: Yard) -> Response:
    """Create an endpoint; its secret is shown here and when it is rotated, and never else."""
    body, now = await json_object(request), yard.now()
    new = WebhookRow(
        id=endpoint_id(yard.chance),
        name=string_of(body, "name"),
        url=_url(body, yard),
        event_types=tuple(_event_types(body)),
        secret=new_signing_secret(yard.chance),
        created_at=now,
        updated_at=now,
    )
    project = project_of(request.scope)
    if not await yard.store.run(yard.webhooks.add, project, new, ENDPOINTS_MAX):
        raise ApiError(
            400,
            f"A project can have at most {ENDPOINTS_MAX} webhook endpoints; delete one first.",
            code="webhook_endpoint_limit_reached",
        )
    return answer(_shown(new, with_secret=True))


async def list_(request: Request, yard: Yard) -> Response:
    """List endpoints, newest first."""
    limit, after = limit_of(request, ENDPOINTS_PAGE), query_of(request, "after")
    rows, more = await yard.pages.run(
        yard.webhooks.page, project_of(request.scope), after=after, limit=limit
    )
    return answer(Page.of(tuple(_shown(row) for row in rows), has_more=more))


async def retrieve(request: Request, yard: Yard) -> Response:
    """Show one endpoint."""
    return answer(_shown(await _one(request, yard)))


async def update(request: Request, yard: Yard) -> Response:
    """Change name, url or event types, whichever are given; a disabled endpoint is enabled."""
    body = await json_object(request)
    changed: dict[str, Any] = {}
    if body.get("name") is not None:
        changed["name"] = string_of(body, "name")
    if body.get("url") is not None:
        changed["url"] = _url(body, yard)
    if body.get("event_types") is not None:
        changed["event_types"] = _event_types(body)
    return answer(_shown(await _changed(request, yard, changed)))


async def delete(request: Request, yard: Yard) -> Response:
    """Delete an endpoint; it is told nothing any more."""
    id = request.path_params["id"]
    if not await yard.store.run(yard.webhooks.remove, project_of(request.scope), id):
        raise _no_such_endpoint(id)
    return answer(Deleted(id=id, object="webhook_endpoint.deleted"))


async def rotate_secret(request: Request, yard: Yard) -> Response:
    """Give an endpoint a new secret; the old one signs too for 24 hours where that is asked."""
    body = await json_object(request, may_be_empty=True)
    overlaps = flag_of(body, "keep_old_secret_active_for_24_hours")
    row = await _one(request, yard)
    changed = {
        "secret": new_signing_secret(yard.chance),
        "old_secret": row.secret if overlaps else None,
        "old_secret_until": yard.now() + OVERLAP_SECONDS if overlaps else None,
    }
    return answer(_shown(await _changed(request, yard, changed), with_secret=True))


async def test(request: Request, yard: Yard) -> Response:
    """Post a sample event now, once, and show what was answered to it."""
    body = await json_object(request)
    type = string_of(body, "event_type")
    if type not in EVENT_TYPES:
        raise ApiError.invalid_value("event_type", type, EVENT_TYPES)
    row = await _one(request, yard)
    now = yard.now()
    sample = event_body(
        "evt_" + hex32(yard.chance), type, sample_id(type, yard.chance), created_at=now
    )
    delivery = "wh_" + hex32(yard.chance)
    secrets = signing_secrets(row.secret, row.old_secret, row.old_secret_until, now)
    outcome = await yard.posting.post(
        row.url, signed_headers(delivery, sample, secrets, now), sample
    )
    if isinstance(outcome, Fault) and not outcome.status:
        raise ApiError(
            400,
            # Whoever asks need not learn what is where in the networks of this server.
            "The webhook endpoint did not answer: " + _FAULTS.get(outcome.code, _FAULTS[""]),
            code="webhook_delivery_failed",
        )
    if not 200 <= outcome.status < 300:
        redirects = " Redirects are not followed." if 300 <= outcome.status < 400 else ""
        raise ApiError(
            400,
            f"The webhook endpoint answered {outcome.status}; only with 2xx it counts as told."
            + redirects,
            code="webhook_delivery_failed",
        )
    return answer(
        WebhookTest(webhook_endpoint_id=row.id, event_type=type, status_code=outcome.status)
    )


async def event_types(_request: Request, _yard: Yard) -> Response:
    """List the types that an endpoint can ask for."""
    return answer(EventTypes())


_FAULTS = {
    "": "it could not be reached.",
    "request_timeout": "it took too long.",
    "invalid_upstream_response": "what came was no HTTP answer.",
    "address_refused": "its host is at an address that the server does not call.",
}


def _url(body: dict[str, Any], yard: Yard) -> str:
    text = string_of(body, "url")
    fault = _url_fault(text, yard.fence)
    if fault is not None:
        raise ApiError(400, f"Invalid 'url': {fault}.", code="invalid_value", param="url")
    return text


def _url_fault(text: str, fence: Fence) -> str | None:
    try:
        target = Target.parse(text)
    except ValueError:
        return "it must be a URL without user name, password and fragment"
    place = (target.scheme, target.host, target.port)
    # A name is looked up when it is called; a number can be judged now, however it is spelled.
    ip = numeric_of(target.host)
    if ip is not None and fence.fault_of(*place) is None and not fence.lets(*place, ip):
        return "its host must be reached over the internet"
    return fence.fault_of(*place)


def _event_types(body: dict[str, Any]) -> list[str]:
    types = strings_of(body, "event_types")
    if not types:
        raise ApiError(
            400,
            "Invalid 'event_types': empty array. Expected an array with minimum length 1, but "
            "got an empty array instead.",
            code="empty_array",
            param="event_types",
        )
    for number, type in enumerate(types):
        if type not in EVENT_TYPES:
            raise ApiError.invalid_value(f"event_types[{number}]", type, EVENT_TYPES)
    return list(dict.fromkeys(types))


async def _one(request: Request, yard: Yard) -> WebhookRow:
    id = request.path_params["id"]
    row = await yard.store.run(yard.webhooks.one, project_of(request.scope), id)
    if row is None:
        raise _no_such_endpoint(id)
    return row


async def _changed(request: Request, yard: Yard, changed: dict[str, Any]) -> WebhookRow:
    id, project = request.path_params["id"], project_of(request.scope)
    row = await yard.store.run(yard.webhooks.change, project, id, changed, yard.now())
    if row is None:
        raise _no_such_endpoint(id)
    return row


def _shown(row: WebhookRow, *, with_secret: bool = False) -> WebhookEndpoint:
    return WebhookEndpoint(
        id=row.id,
        name=row.name,
        url=row.url,
        event_types=row.event_types,
        created_at=row.created_at,
        updated_at=row.updated_at,
        signing_secret_hint=hint_of(row.secret),
        signing_secret=row.secret if with_secret else msgspec.UNSET,
    )


def _no_such_endpoint(id: str) -> ApiError:
    """Missing or somebody else's: one and the same answer."""
    return ApiError(404, f"No webhook endpoint found with id '{id}'.")
