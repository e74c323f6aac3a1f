"""A metric's direction, and room for a name of the user's own.

Revision: 0007, after 0006.
"""

import sqlalchemy as sa
from alembic import op

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None


def upgrade() -> None:
    with op.batch_alter_table("searches") as searches:
        searches.alter_column("metric", existing_type=sa.String(32), type_=sa.String(200))
        searches.add_column(
            sa.Column("greater_is_better", sa.Boolean(), nullable=False, server_default=sa.true())
        )


def downgrade() -> None:
    with op.batch_alter_table("searches") as searches:
        searches.drop_column("greater_is_better")
        searches.alter_column("metric", existing_type=sa.String(200), type_=sa.String(32))
