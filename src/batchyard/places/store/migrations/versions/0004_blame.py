"""Which lines were at the upstream when a worker was lost.

Revision ID: 0004
"""

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add to each shard what was out when, and what is suspected."""
    op.add_column("shards", sa.Column("lost_at", sa.BigInteger(), nullable=True))
    op.add_column("shards", sa.Column("sent_at", sa.BigInteger(), nullable=True))
    op.add_column("shards", sa.Column("trial", sa.LargeBinary(), nullable=True))
    op.add_column("shards", sa.Column("suspects", sa.LargeBinary(), nullable=True))
