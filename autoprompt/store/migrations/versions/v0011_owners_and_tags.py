"""Whose a search is, and what it is tagged with.

Revision: 0011, after 0010.
"""

import sqlalchemy as sa
from alembic import op

revision = "0011"
down_revision = "0010"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("searches", sa.Column("owner", sa.String(200), nullable=True))
    op.add_column("searches", sa.Column("tags", sa.JSON(), nullable=True))


def downgrade() -> None:
    with op.batch_alter_table("searches") as searches:
        searches.drop_column("tags")
        searches.drop_column("owner")
