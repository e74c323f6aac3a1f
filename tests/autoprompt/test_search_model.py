"""A stored search is on the model that it began with, by the rule that it stored it by."""

import dataclasses
from pathlib import Path

import pytest

from autoprompt.results import SearchResult
from autoprompt.search_model import model_of, on_one_model
from autoprompt.search_spaces.errors import ModelError
from autoprompt.store import SearchRecord
from autoprompt.workers.model_files import ModelSpec
from autoprompt.workers.model_identity import model_identity
from autoprompt.workers.old_identity import old_identity
from tests.tiny import save_tiny_model


@pytest.fixture
def by_an_older_version(finished: SearchResult, tiny_folder: Path) -> SearchRecord:
    record = finished.record
    old = old_identity(ModelSpec(path=str(tiny_folder)))
    assert old is not None
    assert ":" not in old
    return dataclasses.replace(record, versions=record.versions | {"model": old})


def elsewhere(record: SearchRecord, folder: Path) -> SearchRecord:
    model = record.config["model"] | {"path": str(folder)}
    return dataclasses.replace(record, config=record.config | {"model": model})


def test_a_search_stores_the_versioned_identity(finished: SearchResult, tiny_folder: Path) -> None:
    stored = finished.record.versions["model"]
    assert stored == model_identity(ModelSpec(path=str(tiny_folder)))
    assert stored.startswith("v2:")


def test_an_older_search_knows_its_model_from_another(
    by_an_older_version: SearchRecord, finished: SearchResult, tiny_folder: Path, tmp_path: Path
) -> None:
    assert model_of(by_an_older_version).path == str(tiny_folder)
    assert on_one_model(by_an_older_version, finished.record)
    other = save_tiny_model(tmp_path / "other", initializer_range=0.1)
    with pytest.raises(ModelError, match="not the one that search 'finished' was on"):
        model_of(elsewhere(by_an_older_version, other))
    assert not on_one_model(elsewhere(finished.record, other), by_an_older_version)
