"""The steps of courses that one worker takes, each in a task of its own.

Whatever becomes of a step, its batch is let go afterwards, and nobody waits for it but itself.
"""

import asyncio
from collections.abc import Awaitable, Callable, Iterable

from batchyard.flow.course import Desk, take_step
from batchyard.flow.recording import within
from batchyard.flow.tools import Tools
from batchyard.places.log import log
from batchyard.places.store.rows import Course

__all__ = ["Steps"]

# How long a batch waits whose step could not be taken, doubling up to the second; and the most
# after a fault that nobody expected.
_AGAIN_SECONDS, _AGAIN_SECONDS_MAX, _FAILED_AGAIN_SECONDS_MAX = 2.0, 15.0, 300.0


class Steps:
    """Takes the steps that are due; `ended` is called with the batch of each that is over."""

    def __init__(
        self,
        worker: str,
        tools: Tools,
        look_around: Callable[[], Awaitable[object]],
        ended: Callable[[str], Awaitable[object]],
    ) -> None:
        self._worker, self._tools = worker, tools
        self._look_around, self._ended = look_around, ended
        self._faults: tuple[type[Exception], ...] = (OSError, *tools.work.faults)
        # The steps under way, with their batches.
        self._under_way: dict[asyncio.Task[None], str] = {}
        # How long each batch waited last that could not take its step.
        self._waited: dict[str, float] = {}

    async def take(self, courses: Iterable[Course]) -> None:
        """Begin the steps of these courses that no other worker has in hand."""
        work, run = self._tools.work, self._tools.hot.run
        mine = list(self._under_way.values())
        for batch_id in await run(work.left_behind, self._worker, mine):
            # Its step ended without letting it go, and nobody else could take the next one.
            log.error("batch_left_behind", batch=batch_id, worker=self._worker)
            await run(work.leave_course, batch_id, self._worker)
        for course in courses:
            if await run(work.take_course, course.id, self._worker):
                step = asyncio.create_task(self._step(course))
                self._under_way[step] = course.id
                step.add_done_callback(self._under_way.pop)

    async def finished(self, seconds: float) -> None:
        """Wait until all are over, but no longer than that."""
        await within(asyncio.gather(*self._under_way, return_exceptions=True), seconds)

    async def cancel(self) -> None:
        """End those that are under way."""
        under_way = list(self._under_way)
        for step in under_way:
            step.cancel()
        await asyncio.gather(*under_way, return_exceptions=True)

    async def _step(self, course: Course) -> None:
        try:
            await self._take(course)
            self._waited.pop(course.id, None)
        except self._faults as fault:
            # A full disk or a database that is away: the step is taken again from its start.
            log.error("batch_step_postponed", batch=course.id, fault=str(fault))
            await self._wait(course.id, _AGAIN_SECONDS_MAX)
        except Exception:
            # A broken promise: somebody is to look at it. Others go on, and so does this batch,
            # where what was wrong can pass.
            log.exception("batch_step_failed", batch=course.id, status=course.status)
            await self._wait(course.id, _FAILED_AGAIN_SECONDS_MAX)
        await self._let_go(course.id)
        await self._ended(course.id)

    async def _take(self, course: Course) -> None:
        tools = self._tools
        await self._look_around()
        limits = await tools.hot.run(tools.limits_of, course.project_id)
        desk = Desk(
            tools.work,
            tools.blobs,
            limits,
            tools.known_model,
            tools.chance,
            self._worker,
            tools.price,
            tools.served_models,
        )
        await tools.heavy.run(take_step, desk, course, int(tools.clock.wall()))

    async def _wait(self, batch_id: str, most_seconds: float) -> None:
        seconds = min(most_seconds, self._waited.get(batch_id, _AGAIN_SECONDS / 2) * 2)
        self._waited[batch_id] = seconds
        await asyncio.sleep(seconds)

    async def _let_go(self, batch_id: str) -> None:
        delay = _AGAIN_SECONDS
        while True:
            try:
                await self._tools.hot.run(self._tools.work.leave_course, batch_id, self._worker)
                return
            except self._faults as fault:
                log.error("batch_not_left", batch=batch_id, fault=str(fault), again_in=delay)
                await asyncio.sleep(delay)
                delay = min(_AGAIN_SECONDS_MAX, delay * 2)
