"""outcomes belong to a model"""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None

# Of each prediction, once for every model that an outcome of it was sent to, the outcome that was observed last.
LATEST_PER_MODEL = """
INSERT INTO current_outcomes (model, prediction_id, event_id, value, observed_at)
SELECT model, prediction_id, event_id, value, observed_at FROM (
    SELECT model, prediction_id, event_id, value, observed_at, row_number() OVER (
        PARTITION BY model, prediction_id ORDER BY observed_at DESC, event_id DESC
    ) AS newest_first FROM outcomes
) AS numbered WHERE newest_first = 1
"""
LATEST = LATEST_PER_MODEL.replace("PARTITION BY model, prediction_id", "PARTITION BY prediction_id")


def upgrade() -> None:
    op.drop_index("ix_outcomes_prediction_id", "outcomes")
    op.create_index("outcomes_by_model", "outcomes", ["model", "prediction_id"], unique=False)
    _rebuild_current("model", "prediction_id")
    op.execute(LATEST_PER_MODEL)


def downgrade() -> None:
    op.drop_index("outcomes_by_model", "outcomes")
    op.create_index("ix_outcomes_prediction_id", "outcomes", ["prediction_id"], unique=False)
    _rebuild_current("prediction_id")
    op.execute(LATEST)


def _rebuild_current(*key: str) -> None:
    """What stands in this table follows from `outcomes`, which keeps everything that was ever observed."""
    op.drop_table("current_outcomes")
    op.create_table(
        "current_outcomes",
        sa.Column("model", sa.String(), nullable=False),
        sa.Column("prediction_id", sa.String(), nullable=False),
        sa.Column("event_id", sa.String(), nullable=False),
        sa.Column("value", sa.String(), nullable=False),
        sa.Column("observed_at", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint(*key),
    )
