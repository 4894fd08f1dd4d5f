"""predictions can be drawn"""

import sqlalchemy as sa
from alembic import op

from services.adapters.record_store.draws import draw_of, level_of

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None

ROWS_AT_ONCE = 10_000


def upgrade() -> None:
    op.add_column("predictions", sa.Column("draw", sa.BigInteger(), nullable=False, server_default="0"))
    op.add_column("predictions", sa.Column("level", sa.SmallInteger(), nullable=False, server_default="0"))
    _draw_all(op.get_bind())
    op.create_index("predictions_by_level", "predictions", ["model", "level", "made_at"], unique=False)


def downgrade() -> None:
    op.drop_index("predictions_by_level", "predictions")
    op.drop_column("predictions", "level")
    op.drop_column("predictions", "draw")


def _draw_all(connection: sa.Connection) -> None:
    """In the order of the ids, a portion at a time: what is drawn depends on nothing else."""
    some = sa.text("SELECT prediction_id FROM predictions WHERE prediction_id > :after ORDER BY prediction_id LIMIT :n")
    update = sa.text("UPDATE predictions SET draw = :draw, level = :level WHERE prediction_id = :id")
    after = ""
    while ids := list(connection.scalars(some, {"after": after, "n": ROWS_AT_ONCE})):
        draws = {each: draw_of(each) for each in ids}
        connection.execute(
            update, [{"id": each, "draw": draw, "level": level_of(draw)} for each, draw in draws.items()]
        )
        after = ids[-1]
