import click

from autoprompt.cli.options import db_option, json_option, print_json


@click.group()
def command() -> None:
    """The database's tables: which version they are, and bringing them to this one's.

    The first search makes the tables. After an update of autoprompt, a database that an older one
    made is left as it is until `autoprompt db upgrade` is asked for: an older autoprompt may be at
    work in it, and cannot read it afterwards. The upgrade happens whole or not at all.
    """


@command.command()
@db_option
@json_option
def current(db: str | None, as_json: bool) -> None:
    """Say which version the tables are, and whether this autoprompt works with them."""
    from autoprompt.api import database_schema

    schema = database_schema(db)
    if as_json:
        print_json(vars(schema))
        return
    click.echo(f"{schema.database}: {schema.current or 'no tables'} ({schema.state})")
    if schema.state != "current":
        click.echo(f"this autoprompt: {schema.newest}")


@command.command()
@db_option
@json_option
def upgrade(db: str | None, as_json: bool) -> None:
    """Bring the tables to this autoprompt's version; make them where there are none."""
    from autoprompt.api import upgrade_database

    before = upgrade_database(db)
    document = {"database": before.database, "from": before.current, "to": before.newest}
    if as_json:
        print_json(document)
    elif before.state == "current":
        click.echo(f"{before.database}: {before.newest}, nothing to do")
    else:
        click.echo(f"{before.database}: {before.current or 'no tables'} -> {before.newest}")
