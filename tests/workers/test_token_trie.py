"""Sequences of tokens as a trie: what begins alike is held once, and sees what it follows alone."""

from hypothesis import given
from hypothesis import strategies as st

from autoprompt.workers.text_states import TokenIds
from autoprompt.workers.token_trie import TokenTrie

SEQUENCES = st.lists(st.lists(st.integers(0, 3), max_size=5).map(tuple), max_size=12)


def test_what_begins_alike_is_held_once() -> None:
    trie = TokenTrie.of([(7, 8), (5,), (7, 9, 5), (7, 8)])
    assert trie.tokens == (7, 8, 9, 5, 5)
    assert trie.parents == (-1, 0, 0, 2, -1)
    assert trie.depths == (0, 1, 1, 2, 0)
    assert trie.depth == 3
    assert trie.places[(7, 9)] == 2
    assert trie.sees.nonzero().tolist() == [
        [0, 0], [1, 0], [1, 1], [2, 0], [2, 2], [3, 0], [3, 2], [3, 3], [4, 4],
    ]  # fmt: skip
    assert list(trie.paths()) == [((7, 8), 2), ((7, 9, 5), 2), ((5,), 1)]


def test_nothing_is_an_empty_trie_and_one_empty_path() -> None:
    for trie in (TokenTrie(), TokenTrie.of([]), TokenTrie.of([()])):
        assert not trie
        assert trie.depth == 0
        assert trie.sees.shape == (0, 0)
        assert list(trie.paths()) == [((), 0)]


@given(SEQUENCES)
def test_every_beginning_has_one_place(sequences: list[TokenIds]) -> None:
    trie = TokenTrie.of(sequences)
    beginnings = {ids[:end] for ids in sequences for end in range(len(ids) + 1)} | {()}
    assert set(trie.places) == beginnings
    assert len(trie) == len(beginnings) - 1
    assert trie.depth == max(map(len, beginnings))
    for sequence, place in trie.places.items():
        seen = trie.sees[place].nonzero()[:, 0].tolist() if sequence else []
        # Read in the order of places, those that a token sees are its sequence.
        assert tuple(trie.tokens[other] for other in seen) == sequence
        assert seen == [trie.places[sequence[:end]] for end in range(1, len(sequence) + 1)]


@given(SEQUENCES)
def test_paths_read_every_token_once_and_in_order(sequences: list[TokenIds]) -> None:
    trie = TokenTrie.of(sequences)
    read = [path[len(path) - new :] for path, new in trie.paths()]
    assert tuple(token for part in read for token in part) == trie.tokens
    for path, _ in trie.paths():
        longer = [ids for ids in sequences if len(ids) > len(path) and ids[: len(path)] == path]
        assert not longer
