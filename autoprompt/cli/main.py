"""The group of commands, and how errors leave it."""

import importlib
import logging
import sys
from typing import Any

import click
from click.shell_completion import CompletionItem

import autoprompt

#: Command -> its one-line help. The commands themselves are imported when used.
COMMANDS = {
    "demo": "Fetch a small model and texts, and search: a first look.",
    "init": "Write a search's YAML from a file of labelled texts.",
    "check": "Say what a search will cost, and what is wrong with its YAML.",
    "search": "Run a search from a YAML file, then print what `show` prints.",
    "resume": "Go on with a search that was stopped or died, then print what `show` prints.",
    "list": "List the searches in the store, newest first.",
    "show": "Show a search: leaderboard, winning prompts, test scores.",
    "trials": "List a search's trials in the order they began, failed ones with their error.",
    "ensemble": "Show the ensemble, or try another one on the validation split.",
    "predict": "Label texts with a search's ensemble, in the order given.",
    "serve": "Answer HTTP requests with searches' ensembles, until Ctrl-C or SIGTERM.",
    "evaluate": "Score a search's prompts on other labelled texts, or its words on another model.",
    "compare": "Compare two searches on the same held-out texts, by their paired difference.",
    "explain": "Show which positions of a prompt matter, by leaving out each in turn.",
    "export": "Write the best prompt, or others, to a folder that other tools read.",
    "report": "Write a search's report: one HTML file, readable without a network.",
    "delete": "Delete searches, with all that the store has of them.",
    "prune": "Delete all searches of a kind, as `delete` does; those that are running stay.",
    "cache": "Show what is kept of models and texts on this machine, and make room.",
    "db": "The database's tables: which version they are, and bringing them to this one's.",
    "submit": "Run a search on a Ray cluster, from a YAML file that is here.",
    "status": "Say in a few lines how far a search is, and what its job does.",
    "logs": "Print what a search's job says; -f follows it to its end.",
    "stop": "Stop a search's job as one Ctrl-C would, so that it can be resumed.",
    "jobs": "List the searches of a Ray cluster, newest first.",
    "spaces": "List the preset search spaces, or print one to copy.",
}


class _Lazy(click.Group):
    """Imports a command when it is called, and turns our errors into one line and an exit code."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, name: str) -> click.Command | None:
        if name not in COMMANDS:
            return None
        module = importlib.import_module(f"autoprompt.cli.{name}_command")
        command: click.Command = module.command
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl(list(COMMANDS.items()))

    def shell_complete(self, ctx: click.Context, incomplete: str) -> list[CompletionItem]:
        # A group's own would import every command for its help.
        named = [name for name in COMMANDS if name.startswith(incomplete)]
        options = click.Command.shell_complete(self, ctx, incomplete)
        return [CompletionItem(name, help=COMMANDS[name]) for name in named] + options

    def invoke(self, ctx: click.Context) -> Any:
        try:
            return super().invoke(ctx)
        except autoprompt.AutopromptError as error:
            if ctx.params["debug"]:
                raise
            click.echo(f"Error: {error}", err=True)
            sys.exit(error.exit_code)
        except KeyboardInterrupt as error:
            if ctx.params["debug"]:
                raise
            click.echo(f"Stopped: {error or 'by Ctrl-C'}", err=True)
            sys.exit(130)


def _print_version(ctx: click.Context, _param: click.Parameter, asked: bool) -> None:
    if asked and not ctx.resilient_parsing:
        click.echo(f"autoprompt, version {autoprompt.__version__}")
        ctx.exit()


@click.group(cls=_Lazy, context_settings={"help_option_names": ["-h", "--help"]})
@click.option("--debug", is_flag=True, help="Show the traceback of an error.")
@click.option(
    "--version",
    is_flag=True,
    is_eager=True,
    expose_value=False,
    callback=_print_version,
    help="Show the version and exit.",
)
def main(debug: bool) -> None:
    """Search hard and soft prompts on a frozen language model, and let the best few vote.

    \b
    A first look:
      autoprompt demo
    With your own data:
      autoprompt init reviews.csv
      autoprompt search reviews.yaml
      autoprompt show latest
      autoprompt predict latest "dull and far too long"

    \b
    Tab completion of commands, searches and presets, in ~/.bashrc (~/.zshrc: zsh_source):
      eval "$(_AUTOPROMPT_COMPLETE=bash_source autoprompt)"

    SEARCH is an id, a name, or `latest`. The store is --db URL, else AUTOPROMPT_DB, else what the
    configuration says, else sqlite:///autoprompt.db.
    """
    # It says at every step that it computes in float16, which was asked for.
    logging.getLogger("bitsandbytes").setLevel(logging.ERROR)
