"""Bring a database to the newest migration: `python -m batchyard.places.store.upgrade URL`."""

import sys
from pathlib import Path
from typing import Any

from alembic.config import Config
from alembic.runtime.environment import EnvironmentContext
from alembic.script import ScriptDirectory
from sqlalchemy import Engine, create_engine

from batchyard.places.store.schema import metadata

__all__ = ["upgrade"]


def upgrade(engine: Engine, to: str = "head") -> None:
    """Run the migrations that are missing up to this one, all in one transaction."""
    script = ScriptDirectory(str(Path(__file__).parent / "migrations"))

    def steps(revision: Any, _context: Any) -> Any:
        return script._upgrade_revs(to, revision)

    with (
        EnvironmentContext(Config(), script, fn=steps) as environment,
        engine.begin() as connection,
    ):
        environment.configure(connection, target_metadata=metadata, render_as_batch=True)
        with environment.begin_transaction():
            environment.run_migrations()


if __name__ == "__main__":
    upgrade(create_engine(sys.argv[1]))
