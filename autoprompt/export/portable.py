"""What a format can hold: what is said of a prompt that it cannot, and which one it could."""

from collections.abc import Callable, Sequence

from autoprompt.search_spaces.errors import BadInputError
from autoprompt.store import PromptRecord, TrialRecord
from autoprompt.stored_search import StoredSearch
from autoprompt.workers.model_config import Family
from autoprompt.workers.prompt import Prompt


def refused(
    form: str, problem: str, result: StoredSearch, holds: Callable[[TrialRecord], bool], reader: str
) -> BadInputError:
    """A prompt that a format cannot hold, with the best of the search's that it can.

    Args:
        reader: who cannot hold it.
    """
    best = next(filter(holds, result.leaderboard), None)
    other = ""
    if best is not None:
        other = f", or --trial {best.number}, the best that {reader} can hold"
        other += f" (it scores {best.score:.4f})"
    return BadInputError(f"--format {form}: {problem}; use --format json{other}")


def check_embeddings(
    form: str,
    result: StoredSearch,
    family: Family,
    records: Sequence[PromptRecord],
    prompts: Sequence[Prompt],
) -> None:
    """Refuse what is not input embeddings of a model that writes.

    Raises:
        BadInputError: a KV prompt, or a model of another family.
    """
    if family != "causal":
        raise BadInputError(
            f"--format {form}: its servers read from left to right and write what comes next, and "
            f"this model is a {family} one; use --format json"
        )
    for record, prompt in zip(records, prompts, strict=True):
        if prompt.kind == "kv":
            problem = (
                f"trial {record.number} is a kv prompt, keys and values that no token stands for"
            )
            reader = "new tokens" if form == "tokens" else "embeddings"
            raise refused(form, problem, result, lambda trial: trial.kind != "kv", reader)
