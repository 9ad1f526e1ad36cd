"""Webhooks as the API shows them, the events they carry, and how a delivery is signed."""

import base64
import hmac
from collections.abc import Sequence
from hashlib import sha256
from random import Random
from typing import Literal

from msgspec import UNSET, Struct, UnsetType

from batchyard.wire.ids import hex32
from batchyard.wire.objects import to_json

__all__ = [
    "EVENT_TYPES",
    "EventTypes",
    "WebhookEndpoint",
    "WebhookTest",
    "endpoint_id",
    "event_body",
    "hint_of",
    "new_signing_secret",
    "sample_id",
    "signed_headers",
    "signing_secrets",
]

# As OpenAI's client names them; only those of batches ever happen here.
EVENT_TYPES = (
    "batch.completed",
    "batch.failed",
    "batch.expired",
    "batch.cancelled",
    "response.completed",
    "response.failed",
    "response.cancelled",
    "response.incomplete",
    "eval.run.succeeded",
    "eval.run.failed",
    "eval.run.canceled",
    "fine_tuning.job.succeeded",
    "fine_tuning.job.failed",
    "fine_tuning.job.cancelled",
    "realtime.call.incoming",
    "video.completed",
    "video.failed",
    "agent.environment.ready",
    "agent.environment.failed",
    "agent.environment.suspended",
    "agent.environment.expired",
    "agent.session.created",
    "agent.session.action_required",
    "agent.session.in_progress",
    "agent.session.idle",
    "agent.session.failed",
    "safety.alert.created",
)
_SECRET_PREFIX = "whsec_"
_SAMPLE_PREFIXES = {"response": "resp_", "eval": "evalrun_", "fine_tuning": "ftjob-"}


class WebhookEndpoint(Struct, frozen=True, kw_only=True):
    """An endpoint; the secret itself is there when it was just made, and never again."""

    id: str
    object: Literal["webhook_endpoint"] = "webhook_endpoint"
    name: str
    url: str
    event_types: tuple[str, ...]
    created_at: int
    updated_at: int | None = None
    signing_secret_hint: str | None = None
    signing_secret: str | UnsetType = UNSET


class WebhookTest(Struct, frozen=True, kw_only=True):
    """What an endpoint answered to a sample: 2xx, for else it was not told."""

    object: Literal["webhook_endpoint.test"] = "webhook_endpoint.test"
    webhook_endpoint_id: str
    event_type: str
    status_code: int
    success: Literal[True] = True


class EventTypes(Struct, frozen=True, kw_only=True):
    """What an endpoint can ask to be told of."""

    object: Literal["list"] = "list"
    data: tuple[str, ...] = EVENT_TYPES


def endpoint_id(chance: Random) -> str:
    """The id of an endpoint: `we_` and 32 hexadecimal digits."""
    return "we_" + hex32(chance)


def new_signing_secret(chance: Random) -> str:
    """A new secret: 192 random bits, in the form that Standard Webhooks has for them."""
    return _SECRET_PREFIX + base64.b64encode(chance.randbytes(24)).decode()


def hint_of(secret: str) -> str:
    """A secret as it may be shown."""
    return f"{_SECRET_PREFIX}{'*' * 8}{secret[-4:]}"


def sample_id(event_type: str, chance: Random) -> str:
    """The id of something that never was, for a test delivery."""
    family = event_type.partition(".")[0]
    return _SAMPLE_PREFIXES.get(family, f"{family}_") + hex32(chance)


def event_body(id: str, type: str, subject_id: str, created_at: int) -> bytes:
    """The body of a delivery; it has ids only, and the receiver asks for the rest."""
    return to_json(
        {
            "id": id,
            "object": "event",
            "type": type,
            "created_at": created_at,
            "data": {"id": subject_id},
        }
    )


def signing_secrets(secret: str, old: str | None, old_until: int | None, now: float) -> list[str]:
    """All that sign now: a rotated secret may go on until its time is over."""
    return [secret, old] if old is not None and (old_until or 0) > now else [secret]


def signed_headers(
    delivery_id: str, body: bytes, secrets: Sequence[str], now: int
) -> dict[str, str]:
    """The headers of one attempt at `now`, with one signature for each secret."""
    signed = f"{delivery_id}.{now}.".encode() + body
    signatures = [
        base64.b64encode(hmac.digest(_key(secret), signed, sha256)).decode() for secret in secrets
    ]
    return {
        "webhook-id": delivery_id,
        "webhook-timestamp": str(now),
        "webhook-signature": " ".join(f"v1,{one}" for one in signatures),
    }


def _key(secret: str) -> bytes:
    return base64.b64decode(secret.removeprefix(_SECRET_PREFIX))
