"""The splits: what is to be told of them, and what is not to be searched with."""

from collections import Counter

from autoprompt.progress import SearchProgress
from autoprompt.search_spaces.errors import DataError
from autoprompt.workers.data import Splits
from autoprompt.workers.data_files import RightAnswers


def check_splits(
    splits: Splits, answers: RightAnswers, source: str, progress: SearchProgress
) -> None:
    """Tell what was left out or is in two splits, and refuse labels that nothing is learnt of.

    Raises:
        DataError: texts are held out of a label that no train text has.
    """
    for note in splits.notes:
        progress.say(note)
    if splits.repeated:
        progress.say(
            f"{splits.repeated} train or validation texts are in a held-out split, too, but for "
            "case, white space and punctuation; data.duplicates: drop leaves them out"
        )
    learnt = {answers.stratum(right) for right in splits.train.labels}
    held_out = (*splits.validation.labels, *splits.test.labels)
    unseen = Counter(answers.stratum(right) for right in held_out)
    for stratum in {None, *learnt}:
        del unseen[stratum]
    if unseen:
        [(label, count)] = unseen.most_common(1)
        others = len(unseen) - 1
        raise DataError(
            f"{source}: no train text is labelled {label!r}, and {count} validation or test texts "
            f"are{f', and so with {others} more labels' if others else ''}; train on more "
            "(data.sizes), set data.balanced to stratified, or leave these texts out"
        )
