"""Where a search's ensemble was wrong, on validation and on test: from the store, and from the data
as far as that is still there."""

from collections.abc import Mapping

from autoprompt.evaluation.where_wrong import WhereWrong, where_wrong
from autoprompt.stored_search import StoredSearch
from autoprompt.workers.answers import Right
from autoprompt.workers.data import Split, Splits
from autoprompt.workers.rows import as_text
from autoprompt.workers.vote import Floats


def wrong_answers(
    result: StoredSearch,
    splits: Splits | None,
    *,
    shown: bool = True,
    states: Mapping[str, Floats] | None = None,
) -> list[WhereWrong]:
    """The ensemble's errors on validation, by which it was chosen, and on test where its answers
    are stored; none of a search without an ensemble.

    Args:
        splits: the search's texts, where they are still there.
        shown: whether a text or a word may be part of the result.
        states: by the split's name, [B, H]: hidden states to cluster its texts by.
    """
    if result.record.ensemble is None:
        return []
    ensemble, answers = result.ensemble, result.answers
    # Where all labelled texts judge it, the validation texts come last.
    expected = answers.right(result.validation_labels)
    log_probs = ensemble.log_probs[:, -len(expected) :]

    def on(
        name: str,
        split: Split | None,
        right: Right,
        voted: Right,
        said: Right,
        by: list[int | str],
    ) -> WhereWrong:
        texts = None if split is None else [as_text(text) for text in split.texts]
        own = states.get(name) if states else None
        return where_wrong(name, answers, right, voted, said, by, texts, shown=shown, states=own)

    voters = [voter.reference for voter in ensemble.voters]
    decided = answers.decided(log_probs)
    voted = ensemble.decisions[-len(expected) :]
    validation = None if splits is None else splits.validation
    found = [on("validation", validation, expected, voted, decided, voters)]
    opening = result.test_opening
    answered = result.held_out_answers(opening) if opening else None
    if opening and opening.result and answered:
        test = None if splits is None else splits.test
        if test is not None and test.fingerprint != opening.fingerprint:
            test = None
        rows = opening.result["members"]
        # Older versions had no baselines among them.
        voters = [row.get("baseline") or row["number"] for row in rows]
        members = answered.decided[2:]
        found.append(on("test", test, answered.expected, answered.voted, members, voters))
    return found
