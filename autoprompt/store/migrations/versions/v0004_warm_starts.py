"""What a search leaves for later ones to be held against, and what it took from an earlier one.

Revision: 0004, after 0003.
"""

import sqlalchemy as sa
from alembic import op

revision = '0004'
down_revision = '0003'
branch_labels = None
depends_on = None


def upgrade() -> None:
    with op.batch_alter_table('searches') as batch_op:
        batch_op.add_column(sa.Column('footprint', sa.LargeBinary(), nullable=True))
        batch_op.add_column(sa.Column('warm_start', sa.JSON(), nullable=True))


def downgrade() -> None:
    with op.batch_alter_table('searches') as batch_op:
        batch_op.drop_column('warm_start')
        batch_op.drop_column('footprint')
