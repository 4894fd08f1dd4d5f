"""what retention removed, and as of when"""

import sqlalchemy as sa
from alembic import op

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "removals",
        sa.Column("model", sa.String(), primary_key=True),
        sa.Column("as_of", sa.BigInteger(), primary_key=True),
        sa.Column("before", sa.BigInteger(), nullable=False),
        sa.Column("predictions", sa.BigInteger(), nullable=False),
        sa.Column("outcomes", sa.BigInteger(), nullable=False),
        sa.Column("dead_letters", sa.BigInteger(), nullable=False),
    )


def downgrade() -> None:
    op.drop_table("removals")
