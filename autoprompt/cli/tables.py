"""Tables for people: rich on a terminal, plain text when piped."""

from collections.abc import Sequence
from typing import Any

from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from autoprompt.ensemble.ensemble import Ensemble
from autoprompt.evaluation.probability_lines import probability_lines
from autoprompt.results import SearchResult
from autoprompt.store import State, TrialRecord
from autoprompt.workers.direction import Direction

#: Wide enough for a prompt where no terminal says how wide it is.
_PIPED_WIDTH = 120

#: Trials on the leaderboard.
LEADERS = 10

#: How a terminal shows words that mean something: a trial's or search's state, a prompt's kind.
_STYLES = {
    State.RUNNING: "cyan",
    State.COMPLETE: "green",
    State.FINISHED: "green",
    State.PRUNED: "dim",
    State.STOPPED: "yellow",
    State.FAILED: "red",
    "soft": "blue",
    "hard": "yellow",
    "mixed": "magenta",
    "kv": "green",
}

#: Characters that a shortened cell keeps at least.
_BRIEFEST = 16

#: Characters of an interval drawn as text.
_INTERVAL = 28


def console() -> Console:
    """Stdout, as wide as the terminal or as a page."""
    out = Console(highlight=False)
    return out if out.is_terminal else Console(highlight=False, width=_PIPED_WIDTH)


def table(title: str, columns: Sequence[tuple[str, str]], rows: Sequence[Sequence[Any]]) -> Table:
    """A table of cells as plain text: nothing in the data is taken for markup.

    Args:
        columns: heading and justification of each: left, right, or brief, which is left and on a
            terminal one line that ends in an ellipsis where it is too long.
    """
    drawn = Table(title=Text(title, style="bold"), title_justify="left", box=box.SIMPLE_HEAD)
    for heading, justify in columns:
        right = justify == "right"
        drawn.add_column(heading, justify="right" if right else "left", no_wrap=right)
    cells = [[cell if isinstance(cell, Text) else Text(str(cell)) for cell in row] for row in rows]
    out = console()
    if out.is_terminal:
        _shorten(columns, cells, out.width)
    for row in cells:
        drawn.add_row(*row)
    return drawn


def _shorten(columns: Sequence[tuple[str, str]], cells: list[list[Text]], width: int) -> None:
    """Cut the brief columns' cells to what the others leave of the terminal's width."""
    longest = [
        max(len(heading), *(row[place].cell_len for row in cells), 0)
        for place, (heading, _) in enumerate(columns)
    ]
    brief = [place for place, (_, justify) in enumerate(columns) if justify == "brief"]
    room = width - 3 * (len(columns) + 1) - sum(longest) + sum(longest[place] for place in brief)
    for count, place in enumerate(brief):
        share = min(longest[place], max(room // (len(brief) - count), _BRIEFEST))
        room -= share
        for row in cells:
            row[place].truncate(share, overflow="ellipsis")


def word(name: str) -> Text:
    """A state or a kind, in its colour."""
    return Text(name, style=_STYLES.get(name, ""))


def number(value: float | None) -> str:
    return "-" if value is None else f"{value:.4f}"


def one_line(text: str) -> str:
    """A prompt, or a template, in a table: where its lines end is drawn."""
    return text.strip().replace("\n", "⏎ ")


def settings(trial: TrialRecord) -> str:
    """The sampled parameters in a few words, without the kind they repeat."""
    parts = []
    for name, value in trial.params.items():
        if name != "kind":
            shown = f"{value:.3g}" if isinstance(value, float) else one_line(str(value))
            parts.append(f"{name.split('.', 1)[-1]}={shown}")
    return " ".join(parts)


def trials_table(title: str, trials: Sequence[TrialRecord], direction: Direction) -> Table:
    columns = [
        ("trial", "right"), ("kind", "left"), ("state", "left"), ("score", "right"),
        ("loss", "right"), ("seconds", "right"), ("settings", "brief"), ("prompt", "brief"),
    ]  # fmt: skip
    scores = [trial.score for trial in trials if trial.score is not None]
    best = direction.best(scores) if scores else None
    rows = [
        (
            trial.number,
            word(trial.kind),
            word(trial.state),
            _score(trial, best),
            number(trial.loss),
            f"{trial.seconds:.0f}",
            settings(trial),
            Text(trial.error, style="red") if trial.error else one_line(trial.prompt or ""),
        )
        for trial in trials
    ]
    return table(title, columns, rows)


def _score(trial: TrialRecord, best: float | None) -> Text:
    """A trial's score; of one that a part of the validation texts judged, how many did."""
    part = trial.judged_by_part
    if part is not None:
        return Text(f"{number(part.score)} on {part.judged}", style="dim")
    return Text(number(trial.score), style="bold green" if trial.score == best else "")


def judging_line(judging: Sequence[int]) -> str:
    """How many texts judge each rung, where they are not the same."""
    *parts, whole = judging
    return (
        f"Rungs are judged by {', '.join(map(str, parts))} and {whole} validation texts; trials "
        "that a part of them judged do not rank."
    )


def interval(row: dict[str, Any]) -> str:
    return f"{row['low']:.4f} - {row['high']:.4f}"


def estimates_table(title: str, scored: dict[str, Any], vote: str) -> Table:
    """Scores on texts that no trial saw, with their 95% intervals, and how these were found."""
    size = len(scored["members"])
    best = scored["best"].get("number")
    names = {
        "no_prompt": "no prompt (the template alone)",
        "mean": f"mean of the {size} members",
        "best": "best single prompt" + ("" if best is None else f" (trial {best})"),
        "ensemble": f"ensemble of {size}, {vote} vote",
    }
    if size == 1:
        del names["mean"]
    low = min(scored[key]["low"] for key in names)
    high = max(scored[key]["high"] for key in names)
    rows: list[Sequence[Any]] = [
        (
            name,
            number(scored[key]["score"]),
            interval(scored[key]),
            scored[key]["method"],
            drawn_interval(scored[key], low, high),
        )
        for key, name in names.items()
    ]
    columns = [
        ("", "left"), ("score", "right"), ("95% interval", "right"), ("method", "left"),
        ("", "left"),
    ]  # fmt: skip
    if not console().is_terminal:
        columns, rows = columns[:-1], [row[:-1] for row in rows]
    return table(title, columns, rows)


def drawn_interval(row: dict[str, Any], low: float, high: float) -> Text:
    """An interval and its score as a line on a scale from `low` to `high`."""

    def place(value: float) -> int:
        return round((value - low) / ((high - low) or 1) * (_INTERVAL - 1))

    start, end, score = place(row["low"]), place(row["high"]), place(row["score"])
    line = " " * start + "─" * (end - start + 1)
    return Text.assemble((line[:score], "dim"), ("●", "blue"), (line[score + 1 :], "dim"))


def print_evaluation(result: SearchResult, scored: dict[str, Any]) -> None:
    """All that `autoprompt evaluate` tells a person."""
    out = console()
    title = f"{scored['data']}: {scored['metric']} on {scored['texts']} texts"
    out.print(estimates_table(title, scored, result.ensemble.vote))
    for line in probability_lines(scored):
        out.print(Text(line))
    test = result.test
    if test and scored["metric"] == result.record.metric:
        names = {"no_prompt": "no prompt", "best": "best prompt", "ensemble": "ensemble"}
        scores = ", ".join(f"{name} {number(test[key]['score'])}" for key, name in names.items())
        out.print(Text(f"On the search's own test split: {scores}."))
    if scored["seen"]:
        out.print(Text(f"{scored['seen']} of these texts are the search's own, and it saw them."))


def print_other_model(travelled: dict[str, Any]) -> None:
    """All that `autoprompt evaluate --model` tells a person."""
    title = (
        f"{travelled['model']}: {travelled['metric']} on {travelled['texts']} texts "
        f"({travelled['data']})"
    )
    columns = [
        ("trial", "right"), ("here", "right"), ("there", "right"), ("95% interval", "right"),
        ("prompt", "left"),
    ]  # fmt: skip
    zero = travelled["no_prompt"]
    rows: list[Sequence[Any]] = [
        ("-", "-", number(zero["score"]), interval(zero), "zero-shot: the template alone")
    ]
    rows += [
        (
            own["trial"],
            number(own["here"]),
            number(own["there"]["score"]),
            interval(own["there"]),
            one_line(own["prompt"]),
        )
        for own in travelled["prompts"]
    ]
    console().print(table(title, columns, rows))


def print_left_out(explained: dict[str, Any]) -> None:
    """All that `autoprompt explain` tells a person."""
    metric = explained["metric"]
    title = (
        f"Trial {explained['trial']}, {explained['kind']} at {explained['position']}: {metric} "
        f"{number(explained['score'])}, loss {number(explained['loss'])} on "
        f"{explained['texts']} validation texts"
    )
    columns = [
        ("without", "right"), ("token", "left"), ("more loss", "right"), ("95%", "right"),
        (metric, "right"), ("texts flip", "right"),
    ]  # fmt: skip
    rows = [
        (
            row["position"],
            _standing(row),
            f"{row['more_loss']:+.4f}",
            "{:+.4f} to {:+.4f}".format(*row["interval"]),
            number(row["score"]),
            str(row["flips"]),
        )
        for row in explained["positions"]
    ]
    out = console()
    out.print(table(title, columns, rows))
    words = explained["as_words"]
    if words is not None:
        out.print(
            Text(
                f"As words, {words['text']!r}: {metric} {number(words['score'])}, loss "
                f"{number(words['loss'])}; the same answer for {words['agrees']:.0%} of the texts."
            )
        )
    if explained["warning"]:
        out.print(Text(f"Warning: {explained['warning']}.", style="yellow"))


def _standing(row: dict[str, Any]) -> str:
    """A position's token, or those nearest to its vector with their cosines."""
    if row["nearest"]:
        return " ".join(f"{near['token']!r} {near['cosine']:.2f}" for near in row["nearest"])
    return repr(row["token"]) if row["token"] else "-"


def print_ensemble(ensemble: Ensemble) -> None:
    """All that `autoprompt ensemble` tells a person."""
    out = console()
    document = ensemble.as_dict()
    columns = [
        ("trial", "right"), ("kind", "left"), ("votes", "right"), ("validation", "right"),
        ("test", "right"), ("prompt", "left"),
    ]  # fmt: skip
    rows = [
        (
            member["number"] if member["fold"] is None else f"{member['number']}/{member['fold']}",
            word(member["kind"]),
            f"{member['votes']:.3g}",
            number(member["validation"]["score"]),
            number(member["test"]["score"] if member["test"] else None),
            one_line(member["prompt"]),
        )
        for member in document["members"]
    ]
    title = f"{document['vote']} vote of {document['size']}, select {document['select']}"
    out.print(table(title.capitalize(), columns, rows))
    if document["note"]:
        out.print(Text(f"Note: {document['note']}."))
    if len(rows) > 1:
        ratio = document["disagreement_error_ratio"]
        told = "" if ratio is None else f"; disagreement over error: {ratio:.2f}"
        agree = document["agreement"]["mean"]
        out.print(Text(f"Two of those that vote agree on {agree:.1%} of the texts{told}."))
    names = {"ensemble": "ensemble", "best_member": "best member", "mean": "mean of the members"}
    scored = [
        (
            split,
            name,
            number(document[split][key]["score"]),
            interval(document[split][key]),
            document[split][key]["method"],
        )
        for split in ("validation", "test")
        if document[split]
        for key, name in names.items()
        if document[split][key]
    ]
    columns = [
        ("", "left"), ("", "left"), ("score", "right"), ("95% interval", "right"),
        ("method", "left"),
    ]  # fmt: skip
    out.print(table("Scores", columns, scored))
    if not document["test"]:
        out.print("The test split was opened for the stored ensemble alone.")


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
    if result.finalists:
        out.print(finalists_table(result))
    words = next((trial for trial in result.leaderboard if trial.kind == "hard"), None)
    if words is not None and words.prompt:
        out.print(Text(f"Best in words (trial {words.number}, {number(words.score)}):"))
        out.print(Text(words.prompt.strip(), style="italic"))
    if record.ensemble:
        columns = [("trial", "right"), ("kind", "left"), ("score", "right"), ("prompt", "left")]
        rows = [
            (member.number, word(member.kind), number(member.score), one_line(member.text))
            for member in result.ensemble.voters
        ]
        count = len(result.ensemble.members)
        title = "The prompts that vote"
        if count > len(rows):
            title = f"The plans that vote, by {count} prompts of folds"
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
