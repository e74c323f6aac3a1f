"""All that `autoprompt show` tells a person of a search."""

from collections.abc import Sequence

from rich.table import Table
from rich.text import Text

from autoprompt.cli.score_tables import estimates_table
from autoprompt.cli.tables import console, number, one_line, table, trials_table, word
from autoprompt.evaluation.probability_lines import probability_lines
from autoprompt.results import SearchResult

#: Trials on the leaderboard.
LEADERS = 10


def finalists_table(result: SearchResult) -> Table:
    """The finalists with their scores over seeds."""
    columns = [
        ("trial", "right"), ("in the search", "right"), ("mean", "right"), ("spread", "right"),
        ("scores with other seeds", "left"),
    ]  # fmt: skip
    rows = [
        (
            finalist.number,
            number(finalist.search_score),
            number(finalist.mean),
            number(finalist.spread),
            " ".join(number(score) for score in finalist.scores),
        )
        for finalist in result.finalists
    ]
    return table("Finalists, trained again with other seeds", columns, rows)


def pareto_table(result: SearchResult) -> Table:
    """What more tokens buy: the front of score against what a prompt costs each text."""
    columns = [
        ("trial", "right"), ("kind", "left"), ("score", "right"), ("tokens", "right"),
        ("rows", "right"), ("of a whole input", "right"),
    ]  # fmt: skip
    rows = [
        (
            row["trial"],
            word(row["kind"]),
            number(row["score"]),
            row["tokens"],
            row["rows"] or "-",
            "-" if row["input_tokens"] is None else f"{row['input_tokens']:.0f}",
        )
        for row in result.pareto
    ]
    return table("Worth their tokens: no trial on fewer scores as well", columns, rows)


def print_result(result: SearchResult) -> None:
    """All that `autoprompt show` tells a person."""
    out = console()
    record = result.record
    counts = ", ".join(f"{count} {state}" for state, count in result.counts.items() if count)
    out.print(
        Text.assemble(
            f"Search {record.id}: ",
            (record.name, "bold"),
            " (",
            word(record.state),
            f"; {counts or 'no trials'})",
        )
    )
    out.print(Text(f"model {record.model}, metric {record.metric}, seed {record.seed}"))
    for name, what in (("texts", "texts"), ("trial", "a trial")):
        if name in record.versions:
            out.print(Text(f"{what}: {record.versions[name]}"))
    if record.warm_start:
        out.print(Text(f"warm start from search {record.warm_start['name']}"))
    if record.error:
        out.print(Text(f"error: {record.error}", style="red"))
    leaders = result.leaders(LEADERS)
    if leaders:
        out.print()
        out.print(trials_table("Leaderboard, by score on validation", leaders, result.direction))
    if result.judging and result.judged_by_parts:
        out.print(Text(judging_line(result.judging)))
    if len(result.pareto) > 1:
        out.print(pareto_table(result))
    if result.finalists:
        out.print(finalists_table(result))
    words = next((trial for trial in result.leaderboard if trial.kind == "hard"), None)
    if words is not None and words.prompt:
        out.print(Text(f"Best in words (trial {words.number}, {number(words.score)}):"))
        out.print(Text(words.prompt.strip(), style="italic"))
    if record.ensemble:
        columns = [("trial", "right"), ("kind", "left"), ("score", "right"), ("prompt", "left")]
        rows = [
            (
                "-" if member.number is None else member.number,
                word(member.kind),
                number(member.score),
                one_line(member.text),
            )
            for member in result.ensemble.voters
        ]
        folds = len(result.ensemble.members) - len(result.ensemble.baselines)
        beside = " and baselines" if result.ensemble.baselines else ""
        title = f"The prompts{beside} that vote"
        if folds > len(rows) - len(result.ensemble.baselines):
            title = f"The plans{beside} that vote, by {folds} prompts of folds"
        out.print(table(title, columns, rows))
        if result.ensemble.note:
            out.print(Text(f"Note: {result.ensemble.note}.\n"))
    if result.test is not None:
        title = f"Test: {record.metric} on {result.test['texts']} texts that no trial saw"
        out.print(estimates_table(title, result.test, result.ensemble.vote))
        for line in probability_lines(result.test):
            out.print(Text(line))
    for warning in record.warnings or []:
        out.print(Text(f"Warning: {warning}.", style="yellow"))


def judging_line(judging: Sequence[int]) -> str:
    """How many texts judge each rung, where they are not the same."""
    *parts, whole = judging
    return (
        f"Rungs are judged by {', '.join(map(str, parts))} and {whole} validation texts; trials "
        "that a part of them judged do not rank."
    )
