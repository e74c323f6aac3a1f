"""The frozen model of a stored search, if it is still there and still the same."""

from autoprompt.config import SearchConfig
from autoprompt.search_spaces.errors import ModelError
from autoprompt.store import SearchRecord
from autoprompt.workers.adapter import resolve
from autoprompt.workers.dtype_choice import dtype_by_flags
from autoprompt.workers.model_config import choose_device
from autoprompt.workers.model_files import ModelSpec
from autoprompt.workers.model_identity import VERSION, model_identity
from autoprompt.workers.old_identity import old_identity


def identity_like(stored: str | None, spec: ModelSpec) -> str | None:
    """The identity of what `spec` names, by the rule that a stored one was made by; None for a Hub
    id, whose commit is stored.

    Raises:
        ModelError: a local path that is not there or holds no model.
    """
    resolve(spec)
    if stored is None or stored.startswith(VERSION):
        return model_identity(spec)
    return old_identity(spec)


def model_of(search: SearchRecord) -> ModelSpec:
    """The model that a search was on, if it is still there and still the same.

    Raises:
        ModelError: it is gone, or another one now.
    """
    spec = SearchConfig.model_validate(search.config).model
    return same_model(spec, search.versions.get("model"), f"search {search.name!r}")


def same_model(spec: ModelSpec, stored: str | None, whose: str) -> ModelSpec:
    """A model, if it is there and still what it was.

    Args:
        stored: its identity then.
        whose: who was on it, for errors.

    Raises:
        ModelError: it is gone, or another one now.
    """
    if spec.dtype == "auto" and choose_device(spec.device).type == "cpu":
        # Stored by a version that measured nothing.
        spec = spec.model_copy(update={"dtype": dtype_by_flags()})
    try:
        present = identity_like(stored, spec)
    except ModelError as error:
        raise ModelError(f"{error}; {whose} was on it: put it back there") from None
    if present is None and stored is not None:
        # A Hub id, whose newest commit may be another by now.
        return spec.model_copy(update={"revision": stored})
    if present is not None and present != stored:
        raise ModelError(
            f"model {spec.path}: not the one that {whose} was on (its hash was {stored} and is "
            f"{present}), and prompts mean something to their own model only: put that one back"
        )
    return spec


def on_one_model(one: SearchRecord, other: SearchRecord) -> bool:
    """Whether two searches were on the same model, though one of them by an older version.

    Raises:
        ModelError: that one's model is gone.
    """
    identities = [search.versions.get("model") for search in (one, other)]
    if identities[0] == identities[1]:
        return True
    spec = SearchConfig.model_validate(one.config).model
    return all(
        identity is not None and identity_like(identity, spec) == identity
        for identity in identities
    )
