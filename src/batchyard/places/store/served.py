"""What upstreams serve, remembered from one start to the next."""

from collections.abc import Callable, Sequence

from sqlalchemy import bindparam, delete, insert, select
from sqlalchemy.exc import DBAPIError

from batchyard.places.database import Runner
from batchyard.places.log import log
from batchyard.places.store.opening import Store
from batchyard.places.store.schema import upstream_models
from batchyard.places.upstreams import Served

__all__ = ["ServedModels"]


class ServedModels:
    """The rows of what upstreams serve; `runner` runs what writes, `wall` is Unix time.

    A store that cannot be written costs nothing but the memory of it.
    """

    def __init__(self, store: Store, runner: Runner, wall: Callable[[], float]) -> None:
        self._store, self._runner, self._wall = store, runner, wall

    def recall(self) -> Sequence[Served]:
        """What each upstream served when it was last heard of."""
        with self._store.reading() as connection:
            rows = connection.execute(select(upstream_models)).all()
        return [Served(row.upstream, row.url, tuple(row.models), row.any_model) for row in rows]

    async def keep(self, served: Sequence[Served]) -> None:
        """Remember what these serve now."""
        try:
            await self._runner.run(self._write, served)
        except (DBAPIError, OSError) as fault:
            log.warning("upstream_models_not_kept", fault=str(fault))

    def _write(self, served: Sequence[Served]) -> None:
        now = int(self._wall())
        rows = [
            {
                "upstream": one.upstream,
                "url": one.url,
                "models": list(one.models),
                "any_model": one.any_model,
                "asked_at": now,
            }
            for one in served
        ]
        with self._store.writing() as connection:
            connection.execute(_FORGET, [{"the_upstream": one.upstream} for one in served])
            connection.execute(insert(upstream_models), rows)


_FORGET = delete(upstream_models).where(upstream_models.c.upstream == bindparam("the_upstream"))
