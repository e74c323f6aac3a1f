from typing import TYPE_CHECKING

import click

from autoprompt.cli.options import db_option, json_option, print_json, search_argument

if TYPE_CHECKING:
    from autoprompt.search_spec import Members
    from autoprompt.workers.vote import Vote


@click.command()
@search_argument
@click.option("--size", type=click.IntRange(min=1), help="How many vote.")
@click.option(
    "--vote",
    type=click.Choice(["majority", "weighted", "mean", "stacked"]),
    help="How they vote.",
)
@click.option("--select", help="Which: top, greedy, diversity, varied, or module:function.")
@click.option(
    "--members",
    type=click.Choice(["prompts", "any"]),
    help="Who may vote: prompts alone, or fitted baselines, too.",
)
@db_option
@json_option
def command(
    search: str,
    size: int | None,
    vote: "Vote | None",
    select: str | None,
    members: "Members | None",
    db: str | None,
    as_json: bool,
) -> None:
    """Show the ensemble, or try another one on the validation split.

    Trying reads the stored predictions: no model is loaded, and the search keeps the ensemble that
    was tested, the only one with test scores. Without --size the size is chosen on validation.

    A majority vote counts heads; a weighted one counts each by its validation score; `mean` takes
    the mean of the members' recalibrated log-probabilities, and `stacked` a logistic regression
    over all of them. `top` takes the best prompts; `greedy` draws, with replacement, whichever
    helps the vote most on one half of validation, as long as the other half confirms it (Caruana et
    al. 2004); `diversity` takes those that disagree most among the ones that are not clearly worse
    than the best, and `varied` those of other templates, label words, positions and kinds. None of
    them scores less on validation than the best member alone: where a vote would, fewer vote, down
    to one. With `--members any` the search's baselines may vote beside the prompts, but for those
    that train a model. Where prompts learnt from folds, all labelled texts stand in validation's
    place.

    The disagreement-error ratio says in advance how much a vote can give (Theisen et al. 2023):
    mean pairwise disagreement over mean error; far below 1, there is little to mend.
    """
    from autoprompt.api import load
    from autoprompt.cli.score_tables import print_ensemble

    result = load(search, db=db)
    asked = (size, vote, select, members)
    tried = any(one is not None for one in asked)
    ensemble = result.try_ensemble(*asked) if tried else result.ensemble
    if as_json:
        print_json(ensemble.as_dict())
    else:
        print_ensemble(ensemble)
