"""outcomes by time"""

from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_index("outcomes_by_time", "outcomes", ["model", "observed_at"], unique=False)


def downgrade() -> None:
    op.drop_index("outcomes_by_time", "outcomes")
