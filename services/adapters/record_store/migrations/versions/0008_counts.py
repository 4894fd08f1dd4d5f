"""totals that are kept as rows come and go"""

import sqlalchemy as sa
from alembic import op

from services.adapters.record_store.counting import install, remove

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "counts",
        sa.Column("model", sa.String(), primary_key=True),
        sa.Column("what", sa.String(), primary_key=True),
        sa.Column("shard", sa.SmallInteger(), primary_key=True, autoincrement=False),
        sa.Column("n", sa.BigInteger(), nullable=False),
    )
    op.create_table(
        "orphan_outcomes",
        sa.Column("model", sa.String(), primary_key=True),
        sa.Column("prediction_id", sa.String(), primary_key=True),
    )
    install(op.get_bind())


def downgrade() -> None:
    remove(op.get_bind())
    op.drop_table("orphan_outcomes")
    op.drop_table("counts")
