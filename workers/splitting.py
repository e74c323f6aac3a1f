"""Rows divided into splits: by their labels and groups, always alike by the same seed."""

import random
from collections import Counter
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal

from autoprompt.search_spaces.errors import DataError
from autoprompt.workers.data_files import SPLITS, Labelled, RightAnswers
from autoprompt.workers.data_spec import DataSpec, Size

#: As many rows of each stratum; each as often as in what is divided; or as it comes.
Balance = Literal["even", "stratified", "none"]


@dataclass(frozen=True)
class _Wanted:
    """What a split is to have.

    Attributes:
        size: a number of rows, or a fraction.
        explicit: whether a file of its own is cut to it.
        key: where the configuration says so.
    """

    size: Size
    explicit: bool
    balance: Balance
    key: str

    @classmethod
    def of(cls, spec: DataSpec, name: str, strata: Sequence[Hashable]) -> "_Wanted":
        explicit = name in spec.sizes.model_fields_set
        if spec.shots is not None and name != "test" and not explicit:
            return cls(spec.shots * len(strata), True, "even", "data.shots")
        balance: Balance = "stratified" if spec.balanced == "stratified" else "even"
        if not spec.balanced or not strata:
            balance = "none"
        return cls(getattr(spec.sizes, name), explicit, balance, "data.sizes")


def split_rows(
    parts: Mapping[str, list[Labelled]],
    spec: DataSpec,
    answers: RightAnswers,
    source: str,
    seed: int,
) -> dict[str, list[Labelled]]:
    """The rows of every split; what `parts` lacks of them is cut from its train rows.

    Rows of one group are never cut into two splits. A split takes its rows from whole groups, in
    random order; what such a group has beyond that is in no split. So a number of texts is kept,
    and a fraction may come out smaller, where other splits' groups have used up what was left.

    Raises:
        DataError: there are too few texts.
    """
    there = dict.fromkeys(answers.stratum(row.right) for rows in parts.values() for row in rows)
    strata = [] if None in there else list(dict.fromkeys([*answers.strata, *there]))
    if spec.shots is not None and not strata:
        raise DataError(
            f"{source}: data.shots counts texts a label, and these have none; leave it out"
        )
    rng = random.Random(seed)
    shuffled = {name: _shuffled(parts[name], rng) for name in SPLITS if name in parts}
    whole = pool = _Rows(shuffled["train"], answers, strata)
    splits: dict[str, list[Labelled]] = {}
    # Held-out splits are filled first, so that changing the size of train never moves a text
    # into or out of them.
    for name in reversed(SPLITS):
        own = name in parts and name != "train"
        rows = _Rows(shuffled[name], answers, strata) if own else pool
        asked = _Wanted.of(spec, name, strata)
        if own and not asked.explicit:
            asked = _Wanted(len(rows.rows), True, "none", asked.key)
        size = asked.size
        if isinstance(size, float):
            size = int(size * (rows if own else whole).usable(asked.balance))
            # Whole rounds over the strata, so that none runs short by one.
            size -= size % (len(strata) or 1)
            if spec.group is not None:
                size = min(size, rows.usable(asked.balance))
        splits[name] = rows.taken(size, asked, f"{source}: {name}")
        if not own:
            pool = pool.without(splits[name])
    return splits


def _shuffled(rows: Sequence[Labelled], rng: random.Random) -> list[Labelled]:
    """In random order, those of a group one after another."""
    rows = list(rows)
    rng.shuffle(rows)
    groups = sorted({row.group for row in rows if row.group is not None})
    rng.shuffle(groups)
    place: dict[str | None, int] = {group: number for number, group in enumerate(groups)}
    return sorted(rows, key=lambda row: place.get(row.group, 0))


@dataclass(frozen=True)
class _Rows:
    """Rows that a split may be taken from, counted by what they are balanced over."""

    rows: list[Labelled]
    answers: RightAnswers
    strata: Sequence[Hashable]

    def stratum(self, row: Labelled) -> Hashable:
        return self.answers.stratum(row.right)

    def counts(self) -> dict[Hashable, int]:
        counts = Counter(map(self.stratum, self.rows))
        return {stratum: counts[stratum] for stratum in self.strata}

    def usable(self, balance: Balance) -> int:
        """How many of the rows may be taken at most."""
        if balance != "even":
            return len(self.rows)
        return min(self.counts().values()) * len(self.strata)

    def without(self, taken: Sequence[Labelled]) -> "_Rows":
        """What is left when these are taken, and all of their groups."""
        gone = {row.group or row for row in taken}
        return replace(self, rows=[row for row in self.rows if (row.group or row) not in gone])

    def taken(self, size: int, asked: _Wanted, what: str) -> list[Labelled]:
        """The first rows that fill a split.

        Raises:
            DataError: it would be empty, or there are too few.
        """
        if size < 1:
            raise DataError(f"{what}: the split is empty; give data.sizes more texts")
        if asked.balance != "even" and len(self.rows) < size:
            raise DataError(
                f"{what}: {size} texts asked for, {len(self.rows)} left; lower {asked.key}"
            )
        if asked.balance == "none":
            return self.rows[:size]
        shares = _even(size, self.strata)
        if asked.balance == "stratified":
            shares = _in_proportion(size, self.counts())
        due, found = dict(shares), []
        for row in self.rows:
            stratum = self.stratum(row)
            if due[stratum]:
                due[stratum] -= 1
                found.append(row)
        for stratum, missing in due.items():
            if missing:
                share = shares[stratum]
                raise DataError(
                    f"{what}: {share} texts labelled {stratum!r} asked for, {share - missing} "
                    f"left; lower {asked.key} or set data.balanced to false"
                )
        return found


def _even(size: int, strata: Sequence[Hashable]) -> dict[Hashable, int]:
    """The same share for each, the first ones one more where it does not come out even."""
    share, rest = divmod(size, len(strata))
    return {stratum: share + (number < rest) for number, stratum in enumerate(strata)}


def _in_proportion(size: int, counts: Mapping[Hashable, int]) -> dict[Hashable, int]:
    """Shares as the counts are, by largest remainder; none above its count."""
    total = sum(counts.values())
    shares = {stratum: size * count // total for stratum, count in counts.items()}
    by_rest = sorted(counts, key=lambda stratum: -(size * counts[stratum] % total))
    for stratum in by_rest[: size - sum(shares.values())]:
        shares[stratum] += 1
    return shares
