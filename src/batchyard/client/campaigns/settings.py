"""How a campaign goes about its work."""

from collections.abc import Mapping

from msgspec import Struct

from batchyard.client.campaigns.cutting import Sizes
from batchyard.rules.limits import METADATA_KEYS_MAX, STRICT

__all__ = ["Progress", "Settings"]

# By which a campaign finds its batches again.
_OWN_KEYS = 2


class Settings(Struct, frozen=True, kw_only=True):
    """What stands for the whole life of a campaign.

    `target`: the name by which the base URL was called, of which the key is that.
    `enqueued_tokens_max`: most tokens in unfinished batches, as far as they can be counted here.
    `rounds_max`: how often a request is asked at most. A request whose answer was cut off is
    asked again with `cap_factor` times the room, up to `cap_max` tokens; with `accept_cut_off`
    such an answer is a success.
    `faults_max`: how often a call is made at most that brings no answer; ten times as often once
    the server has answered, which is for some hours.
    `settle_seconds`: how long a batch may take to appear in the server's list after its create.
    """

    base_url: str
    target: str = ""
    window: str = "24h"
    purpose: str = "batch"
    sizes: Sizes = Sizes.of(STRICT, None)
    enqueued_tokens_max: int | None = None
    batches_at_once: int = 20
    rounds_max: int = 3
    cap_factor: float = 2.0
    cap_max: int = 32_768
    accept_cut_off: bool = False
    poll_seconds: float = 60.0
    settle_seconds: float = 5.0
    faults_max: int = 8
    metadata: Mapping[str, str] = {}

    def __post_init__(self) -> None:
        if len(self.metadata) > METADATA_KEYS_MAX - _OWN_KEYS:
            most = METADATA_KEYS_MAX - _OWN_KEYS
            raise ValueError(f"metadata may have {most} keys; a campaign adds {_OWN_KEYS}.")


class Progress(Struct, frozen=True, kw_only=True):
    """How far a campaign is: chunks, and requests of this round as the server counts them.

    `moving` is what of a large file has gone or come so far.
    """

    round: int
    chunks: int
    submitted: int
    ended: int
    requests: int
    done: int
    waiting_for: str = ""
    moving: str = ""
