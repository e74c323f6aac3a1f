"""Tables of what prompts and votes are worth: on held-out texts, elsewhere, without a part."""

from collections.abc import Sequence
from typing import Any

from rich.table import Table
from rich.text import Text

from autoprompt.cli.baselines_table import print_baselines
from autoprompt.cli.tables import console, interval, number, one_line, table, word
from autoprompt.ensemble.ensemble import Ensemble
from autoprompt.evaluation.baseline_table import verdicts
from autoprompt.evaluation.probability_lines import probability_lines
from autoprompt.results import SearchResult
from autoprompt.workers.metrics import METRICS

#: Characters of an interval drawn as text.
_INTERVAL = 28


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
    if scored["baselines"]:
        said = verdicts(scored, METRICS[scored["metric"]].direction)
        print_baselines(scored["baselines"], said, "here")
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


def _trial(member: dict[str, Any]) -> str:
    """Which trial a member is of, and which fold it left out."""
    if member["number"] is None:
        return "-"
    return f"{member['number']}" + (f"/{member['fold']}" if member["fold"] else "")


def print_ensemble(ensemble: Ensemble) -> None:
    """All that `autoprompt ensemble` tells a person."""
    out = console()
    document = ensemble.as_dict()
    columns = [
        ("trial", "right"), ("kind", "left"), ("votes", "right"), (ensemble.judged_on, "right"),
        ("test", "right"), ("prompt", "left"),
    ]  # fmt: skip
    rows = [
        (
            _trial(member),
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
    titles = {"validation": ensemble.judged_on, "test": "test"}
    scored = [
        (
            titles[split],
            name,
            number(document[split][key]["score"]),
            interval(document[split][key]),
            document[split][key]["method"],
        )
        for split in titles
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
