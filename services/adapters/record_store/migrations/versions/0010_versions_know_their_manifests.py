"""versions know their manifests"""

import sqlalchemy as sa
from alembic import op

revision = "0010"
down_revision = "0009"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("versions", sa.Column("manifest_sha256", sa.String(), nullable=False, server_default=""))


def downgrade() -> None:
    op.drop_column("versions", "manifest_sha256")
