"""An index that is the leaderboard; seeds above 2^31.

Revision: 0005, after 0004.
"""

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None


def upgrade() -> None:
    with op.batch_alter_table("searches") as searches:
        searches.alter_column("seed", existing_type=sa.Integer(), type_=sa.BigInteger())
    with op.batch_alter_table("confirmations") as confirmations:
        confirmations.alter_column("seed", existing_type=sa.Integer(), type_=sa.BigInteger())
    op.create_index(
        "ix_trials_leaderboard", "trials", ["search_id", sa.text("score DESC"), "loss", "number"]
    )


def downgrade() -> None:
    op.drop_index("ix_trials_leaderboard", "trials")
    with op.batch_alter_table("confirmations") as confirmations:
        confirmations.alter_column("seed", existing_type=sa.BigInteger(), type_=sa.Integer())
    with op.batch_alter_table("searches") as searches:
        searches.alter_column("seed", existing_type=sa.BigInteger(), type_=sa.Integer())
