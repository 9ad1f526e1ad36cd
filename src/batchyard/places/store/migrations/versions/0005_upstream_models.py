"""What upstreams serve is remembered.

Revision ID: 0005
"""

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Make the table of what each upstream served when it was last heard of."""
    op.create_table(
        "upstream_models",
        sa.Column("upstream", sa.String(), nullable=False),
        sa.Column("url", sa.String(), nullable=False),
        sa.Column("models", sa.JSON(), nullable=False),
        sa.Column("any_model", sa.Boolean(), nullable=False),
        sa.Column("asked_at", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("upstream"),
    )
