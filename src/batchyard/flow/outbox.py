"""Tells endpoints what happened: every due delivery is tried, and tried again until it is taken.

Nothing ticks. The pump sleeps until the bell rings or the next delivery is due.
"""

import asyncio
from collections import Counter
from collections.abc import Sequence
from random import Random

from batchyard.places.clock import Clock
from batchyard.places.database import Runner
from batchyard.places.faults import Reach, nothing
from batchyard.places.log import log
from batchyard.places.posting import Posting
from batchyard.places.store.outbox import DueDelivery, Mark, Outbox
from batchyard.places.transport import Answer, Fault
from batchyard.rules.telling import weigh_answer
from batchyard.wire.webhooks import event_body, signed_headers, signing_secrets

__all__ = ["Pump", "fault_text"]

_AT_ONCE_MAX, _AT_ONCE_PER_ENDPOINT_MAX = 32, 4
# What was told is forgotten after thirty days; nobody minds an hour more.
_LOOK_SECONDS, _KEPT_SECONDS = 3_600.0, 30 * 86_400
# So long a delivery is in this server's hands: well over the time of an attempt.
_HELD_SECONDS = 60.0
_STORE_AGAIN_SECONDS = 2.0
_FAULT_CHARACTERS_MAX = 300


class Pump:
    """Delivers what the outbox holds; a batch that ended never waits for it."""

    def __init__(
        self,
        outbox: Outbox,
        posting: Posting,
        runner: Runner,
        clock: Clock,
        chance: Random,
        *,
        reach: Reach = nothing,
    ) -> None:
        self._outbox, self._posting, self._runner = outbox, posting, runner
        self._clock, self._chance, self._reach = clock, chance, reach
        self._wake = asyncio.Event()
        self._under_way: dict[asyncio.Task[None], DueDelivery] = {}
        self._forgot_at = float("-inf")
        self._faults: tuple[type[Exception], ...] = (OSError, *outbox.faults)

    def ring(self) -> None:
        """Something may have ended, or somebody wants a delivery made again."""
        self._wake.set()

    async def run(self) -> None:
        """Deliver until cancelled; what is under way then is tried again in the next life."""
        try:
            while True:
                self._wake.clear()
                try:
                    rest_seconds = await self._turn()
                except self._faults as fault:
                    log.error("store_unavailable", fault=str(fault))
                    rest_seconds = _STORE_AGAIN_SECONDS
                try:
                    async with asyncio.timeout(rest_seconds):
                        await self._wake.wait()
                except TimeoutError:
                    pass
        finally:
            trying = tuple(self._under_way)
            for one in trying:
                one.cancel()
            await asyncio.gather(*trying, return_exceptions=True)

    async def _turn(self) -> float:
        """Begin what is due and there is room for; returns how long to rest."""
        await self._forget()
        while (room := _AT_ONCE_MAX - len(self._under_way)) > 0:
            # A few at a time of each endpoint, so that a slow one leaves room for the others.
            now = self._clock.wall()
            due = await self._runner.run(
                self._outbox.due,
                now,
                room,
                but=self._ids(),
                busy=self._busy(),
                busy_projects=self._busy_projects(),
            )
            chosen = self._spread(due)
            if not chosen:
                break
            until = now + _HELD_SECONDS
            for delivery in await self._runner.run(self._outbox.take, chosen, now, until):
                self._begin(delivery)
        now = self._clock.wall()
        due_at = await self._runner.run(self._outbox.next_due, now)
        return _LOOK_SECONDS if due_at is None else min(_LOOK_SECONDS, due_at - now)

    def _spread(self, due: Sequence[DueDelivery]) -> list[DueDelivery]:
        """Those of which no endpoint, and no project, has too many at once.

        A project may have as many under way as then are free: alone half of all, two of them a
        third each, and so on. So there is always a place for one that comes with its first.
        """
        under_way = self._under_way.values()
        endpoints = Counter(one.endpoint_id for one in under_way)
        projects = Counter(one.project_id for one in under_way)
        free = _AT_ONCE_MAX - len(under_way)
        chosen = []
        for one in due:
            if endpoints[one.endpoint_id] >= _AT_ONCE_PER_ENDPOINT_MAX:
                continue
            if projects[one.project_id] >= free:
                continue
            endpoints[one.endpoint_id] += 1
            projects[one.project_id] += 1
            free -= 1
            chosen.append(one)
        return chosen

    def _begin(self, delivery: DueDelivery) -> None:
        trying = asyncio.create_task(self._try(delivery))
        self._under_way[trying] = delivery
        trying.add_done_callback(self._tried)

    def _tried(self, trying: asyncio.Task[None]) -> None:
        del self._under_way[trying]
        self._wake.set()

    def _ids(self) -> Sequence[str]:
        return [one.id for one in self._under_way.values()]

    def _busy(self) -> Sequence[str]:
        counted = Counter(one.endpoint_id for one in self._under_way.values())
        return [id for id, count in counted.items() if count >= _AT_ONCE_PER_ENDPOINT_MAX]

    def _busy_projects(self) -> Sequence[str]:
        counted = Counter(one.project_id for one in self._under_way.values())
        free = _AT_ONCE_MAX - len(self._under_way)
        return [id for id, count in counted.items() if count >= free]

    async def _try(self, delivery: DueDelivery) -> None:
        try:
            outcome = await self._post(delivery)
        except Exception:
            # A broken promise: the attempt counts as failed, or it would be made without pause.
            log.exception("delivery_failed", delivery=delivery.id)
            outcome = Fault("internal_error", "See the server's log.", sent=False)
        mark = self._weigh(delivery, outcome)
        self._reach("delivery.before_mark")
        while True:
            try:
                await self._runner.run(self._outbox.mark, delivery, mark)
                break
            except self._faults as fault:
                log.error("delivery_not_marked", delivery=delivery.id, fault=str(fault))
                await asyncio.sleep(_STORE_AGAIN_SECONDS)
        self._say(delivery, mark)

    async def _post(self, delivery: DueDelivery) -> Answer | Fault:
        now = self._clock.wall()
        body = event_body(delivery.event_id, delivery.type, delivery.batch_id, delivery.created_at)
        headers = signed_headers(delivery.id, body, _secrets(delivery, now), int(now))
        return await self._posting.post(delivery.url, headers, body)

    def _weigh(self, delivery: DueDelivery, outcome: Answer | Fault) -> Mark:
        now = self._clock.wall()
        status, attempts = outcome.status, delivery.attempts + 1
        taken = weigh_answer(
            status,
            outcome.headers if isinstance(outcome, Answer) else (),
            attempts,
            age_seconds=now - delivery.created_at,
            now=now,
            chance=self._chance,
        )
        return Mark(
            state=taken.state,
            attempts=attempts,
            attempted_at=int(now),
            due_at=taken.due_at,
            status_code=status or None,
            fault=fault_text(outcome) if isinstance(outcome, Fault) and not status else None,
            gone=taken.gone,
        )

    def _say(self, delivery: DueDelivery, mark: Mark) -> None:
        # Never the URL: what stands in its query may be a secret of the receiver's.
        told = {"delivery": delivery.id, "endpoint": delivery.endpoint_id}
        if mark.gone:
            log.warning("webhook_endpoint_disabled", **told, status=mark.status_code)
        elif mark.state == "given_up":
            log.warning("webhook_given_up", **told, attempts=mark.attempts, **_why(mark))
        elif mark.state == "pending":
            again = max(0, round((mark.due_at or 0) - mark.attempted_at))
            log.warning(
                "webhook_failed",
                **told,
                attempt=mark.attempts,
                **_why(mark),
                again_in_seconds=again,
            )

    async def _forget(self) -> None:
        steady = self._clock.steady()
        if steady - self._forgot_at >= _LOOK_SECONDS:
            self._forgot_at = steady
            now = self._clock.wall()
            await self._runner.run(self._outbox.forget, int(now) - _KEPT_SECONDS, now)


def _why(mark: Mark) -> dict[str, object]:
    """The status, or the code alone of a fault: its text may name what is secret."""
    if mark.status_code is not None:
        return {"status": mark.status_code}
    return {"fault": (mark.fault or "").partition(":")[0]}


def fault_text(fault: Fault) -> str:
    """Why there was no answer, in a receiver's terms."""
    code = _CODES.get(fault.code, fault.code)
    detail = fault.detail.replace("The upstream", "The receiver")
    return f"{code}: {detail}"[:_FAULT_CHARACTERS_MAX]


_CODES = {
    "request_timeout": "timeout",
    "upstream_unreachable": "unreachable",
    "invalid_upstream_response": "invalid_answer",
    "response_too_large": "invalid_answer",
}


def _secrets(delivery: DueDelivery, now: float) -> list[str]:
    return signing_secrets(delivery.secret, delivery.old_secret, delivery.old_secret_until, now)
