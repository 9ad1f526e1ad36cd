"""Bring a database to the newest migration: `python -m batchyard.places.store.upgrade URL`."""

import sys
from pathlib import Path
from typing import Any

from alembic.config import Config
from alembic.runtime.environment import EnvironmentContext
from alembic.script import ScriptDirectory

from batchyard.places.store.opening import Store, engine_of
from batchyard.places.store.schema import metadata

__all__ = ["upgrade"]

# Whoever comes second waits until the first is done, which may have much to copy.
_WAIT_SECONDS = 120.0


def upgrade(store: Store, to: str = "head") -> None:
    """Run the migrations that are missing up to this one, all in one transaction.

    It begins with the right to write, so that of two that upgrade at once the second finds all
    done; killed at any moment, it has changed nothing.
    """
    script = ScriptDirectory(str(Path(__file__).parent / "migrations"))

    def steps(revision: Any, _context: Any) -> Any:
        return script._upgrade_revs(to, revision)

    with (
        EnvironmentContext(Config(), script, fn=steps) as environment,
        store.writing() as connection,
    ):
        environment.configure(
            connection, target_metadata=metadata, render_as_batch=True, transactional_ddl=True
        )
        with environment.begin_transaction():
            environment.run_migrations()


if __name__ == "__main__":
    upgrade(Store(engine_of(sys.argv[1], _WAIT_SECONDS)))
