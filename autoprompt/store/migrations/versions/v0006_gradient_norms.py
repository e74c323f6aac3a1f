"""The gradient's norm at each rung.

Revision: 0006, after 0005.
"""

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("rungs", sa.Column("gradient_norm", sa.Double(), nullable=True))


def downgrade() -> None:
    with op.batch_alter_table("rungs") as rungs:
        rungs.drop_column("gradient_norm")
