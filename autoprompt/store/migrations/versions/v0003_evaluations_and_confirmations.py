"""Every opening of held-out texts, finalists trained again, the best trial, and warnings.

Revision: 0003, after 0002.
"""

import sqlalchemy as sa
from alembic import op

revision = '0003'
down_revision = '0002'
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table('confirmations',
    sa.Column('trial_id', sa.Integer(), nullable=False),
    sa.Column('repeat', sa.Integer(), nullable=False),
    sa.Column('seed', sa.Integer(), nullable=False),
    sa.Column('score', sa.Double(), nullable=True),
    sa.Column('loss', sa.Double(), nullable=True),
    sa.Column('seconds', sa.Double(), nullable=False),
    sa.Column('worker', sa.String(length=200), nullable=True),
    sa.Column('error', sa.String(), nullable=True),
    sa.Column('finished_at', sa.DateTime(timezone=True), nullable=False),
    sa.ForeignKeyConstraint(['trial_id'], ['trials.id'], name=op.f('fk_confirmations_trial_id'), ondelete='CASCADE'),
    sa.PrimaryKeyConstraint('trial_id', 'repeat', name=op.f('pk_confirmations'))
    )
    with op.batch_alter_table('evaluations') as batch_op:
        batch_op.drop_constraint(batch_op.f('uq_evaluations_search_id_split'), type_='unique')
        batch_op.alter_column('split', new_column_name='source', existing_type=sa.String(length=32), type_=sa.String(length=500), existing_nullable=False)
        batch_op.add_column(sa.Column('fingerprint', sa.String(length=16), nullable=True))
        batch_op.add_column(sa.Column('purpose', sa.String(length=200), nullable=True))
        batch_op.add_column(sa.Column('opened_by', sa.String(length=200), nullable=True))
    with op.batch_alter_table('evaluations') as batch_op:
        batch_op.create_index(batch_op.f('ix_evaluations_search_id'), ['search_id'])
        batch_op.create_index(batch_op.f('ix_evaluations_fingerprint'), ['fingerprint'])
    with op.batch_alter_table('searches') as batch_op:
        batch_op.add_column(sa.Column('best', sa.Integer(), nullable=True))
        batch_op.add_column(sa.Column('warnings', sa.JSON(), nullable=True))


def downgrade() -> None:
    with op.batch_alter_table('searches') as batch_op:
        batch_op.drop_column('warnings')
        batch_op.drop_column('best')
    # Of several openings of a split, the first is kept: there was room for one.
    evaluations = sa.table('evaluations', sa.column('id'), sa.column('search_id'), sa.column('source'))
    first = sa.select(sa.func.min(evaluations.c.id)).group_by(evaluations.c.search_id, evaluations.c.source)
    op.execute(sa.delete(evaluations).where(evaluations.c.id.not_in(first)))
    op.execute(sa.delete(evaluations).where(sa.func.length(evaluations.c.source) > 32))
    with op.batch_alter_table('evaluations') as batch_op:
        batch_op.drop_index(batch_op.f('ix_evaluations_fingerprint'))
        batch_op.drop_index(batch_op.f('ix_evaluations_search_id'))
    with op.batch_alter_table('evaluations') as batch_op:
        batch_op.drop_column('opened_by')
        batch_op.drop_column('purpose')
        batch_op.drop_column('fingerprint')
        batch_op.alter_column('source', new_column_name='split', existing_type=sa.String(length=500), type_=sa.String(length=32), existing_nullable=False)
    with op.batch_alter_table('evaluations') as batch_op:
        batch_op.create_unique_constraint(batch_op.f('uq_evaluations_search_id_split'), ['search_id', 'split'])
    op.drop_table('confirmations')
