"""What may vote in a search that is in the store."""

from collections.abc import Sequence

from autoprompt.evaluation.candidates import beside_baselines
from autoprompt.evaluation.out_of_fold import out_of_fold
from autoprompt.search_answers import answers_in, metric_of
from autoprompt.store import Candidate, SearchRecord, Store


def stored_candidates(
    store: Store,
    search: SearchRecord,
    named: Sequence[int | str] | None = None,
    limit: int | None = None,
    *,
    baselines: bool = True,
) -> tuple[list[Candidate], list[int]]:
    """Candidates, best first, and what is right of the texts that judge them: the trials' prompts
    on validation; or finalists on all labelled texts, by prompts of folds; and baselines likewise.

    Args:
        named: these trials and baselines alone.
        limit: at most so many prompts.
        baselines: whether they may vote.

    Raises:
        BadInputError: the baselines were not judged by the texts that judge the prompts.
    """
    answers, metric = answers_in(search), metric_of(search)
    numbers = None if named is None else [one for one in named if isinstance(one, int)]
    if (search.ensemble or {}).get("bagged"):
        labels = store.labelled(search.id)
        found = out_of_fold(store, search.id, labels, answers, metric)
        prompts = [own for own in found if numbers is None or own.number in numbers]
    else:
        labels = store.validation_labels(search.id)
        prompts = store.prompts(search.id, numbers, limit)
    records = store.baselines(search.id) if baselines else []
    chosen = [record for record in records if named is None or record.name in named]
    return beside_baselines(prompts, chosen, labels, answers, metric), labels
