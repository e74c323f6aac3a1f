"""The label words that trials choose from, where the frozen model proposes them: fixed before the
search's row is written, and stored in its space."""

from dataclasses import replace

from autoprompt.controller.executor import Executor
from autoprompt.preparation.prepare import Prepared
from autoprompt.progress import SearchProgress
from autoprompt.search_spaces.pieces import Pieces
from autoprompt.search_spaces.wording_space import LabelWords, Proposals, written
from autoprompt.workers.label_search import proposed_label_words


def with_pinned_words(prepared: Prepared, executor: Executor, progress: SearchProgress) -> Prepared:
    """A new search with what `label_words: {propose: ...}` stands for on its train texts; label
    words that were given stay."""
    config = prepared.config
    space, spec = config.space, config.space.label_words
    if not isinstance(spec, Proposals) or spec.found:
        return prepared
    columns = config.columns
    # By a trial's own template, as a plan names it; the task's own has no name there.
    named = {
        template: Pieces.of(template, "hard", "suffix", None, columns).template
        for template in space.templates
    } or {"": config.task.template}
    asked = list(dict.fromkeys(named.values()))
    progress.say(f"asking the model for label words behind {len(asked)} templates ...")
    shares = [asked[first :: executor.workers] for first in range(executor.workers)]
    calls = [(prepared.job, share, spec) for share in shares if share]
    found: dict[str, tuple[LabelWords, ...]] = {}
    with progress.counting("templates asked behind", len(asked)) as advance:
        for template, sets in executor.on_workers(proposed_label_words, calls):
            found[template] = sets
            advance(1)
    best = written(found[asked[0]][0])
    progress.say(f"label words proposed behind {asked[0]!r}, the best first: {best}")
    own = config.task.label_words
    words = spec.model_copy(
        update={
            # The task's own come first, whatever the model proposes.
            "found": {
                name: (own, *(words for words in found[template] if words != own))
                for name, template in named.items()
            }
        }
    )
    return replace(
        prepared, config=config.replaced(space=space.model_copy(update={"label_words": words}))
    )
