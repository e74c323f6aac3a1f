"""A registry: built-in names, a user's own by module:function, and errors that name the way out."""

from pathlib import Path

import pytest

from autoprompt.search_spaces.errors import ConfigError
from autoprompt.search_spaces.registry import Registry


@pytest.fixture
def fruits() -> Registry[object]:
    return Registry("fruit", {"apple": len, "pear": repr})


def test_names_are_found_in_their_order(fruits: Registry[object]) -> None:
    fruits.add("quince", str)
    assert list(fruits) == ["apple", "pear", "quince"]
    assert fruits["apple"] is len
    assert fruits["quince"] is str


def test_an_unknown_name_gets_the_nearest_and_all(fruits: Registry[object]) -> None:
    with pytest.raises(ConfigError, match="no fruit named 'aple'; the nearest is apple; there are"):
        fruits["aple"]
    with pytest.raises(ConfigError, match=r"no fruit named 'zzz'; there are apple, pear, and your"):
        fruits["zzz"]


@pytest.mark.parametrize("name", ["apple", "a:b"])
def test_a_name_is_added_once_and_is_no_reference(fruits: Registry[object], name: str) -> None:
    with pytest.raises(ConfigError, match=name):
        fruits.add(name, str)


def test_a_users_own_is_imported_from_beside_the_configuration(
    fruits: Registry[object], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "orchard_of_ours.py").write_text("def medlar(): return 1\nnumber = 3\n")
    monkeypatch.chdir(tmp_path)
    assert fruits["orchard_of_ours:medlar"]() == 1  # type: ignore[operator]
    with pytest.raises(ConfigError, match="cannot be called: it is int"):
        fruits["orchard_of_ours:number"]


@pytest.mark.parametrize("reference", ["no_module_of_ours:f", "json:no_name", ":f", "json:"])
def test_what_cannot_be_imported_is_named(fruits: Registry[object], reference: str) -> None:
    with pytest.raises(ConfigError, match=f"fruit '{reference}' cannot be imported"):
        fruits[reference]
