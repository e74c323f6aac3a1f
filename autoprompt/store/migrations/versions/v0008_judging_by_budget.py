"""How many validation texts judged a rung, and what those said where they were not all.

Revision: 0008, after 0007.
"""

import sqlalchemy as sa
from alembic import op

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("rungs", sa.Column("judged", sa.Integer(), nullable=True))
    op.add_column("rungs", sa.Column("log_probs", sa.LargeBinary(), nullable=True))


def downgrade() -> None:
    with op.batch_alter_table("rungs") as rungs:
        rungs.drop_column("log_probs")
        rungs.drop_column("judged")
