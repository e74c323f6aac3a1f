"""What `check` prints."""

from typing import Any

from rich.text import Text

from autoprompt.cli.tables import console, table
from autoprompt.search_spaces.durations import shown_seconds
from autoprompt.shown_sizes import shown_size


def print_cost(found: dict[str, Any]) -> None:
    """What a search will cost, as `autoprompt.check` has it."""
    out = console()

    def say(what: str, told: str) -> None:
        out.print(Text.assemble((f"{what}: ", "bold"), told), soft_wrap=True)

    say(found["config"], "nothing that a search would refuse")
    for name in ("train", "validation", "test"):
        split = found["splits"][name]
        labels = ", ".join(f"{count} {label}" for label, count in (split["labels"] or {}).items())
        say(name, f"{split['texts']} texts{f' ({labels})' if labels else ''}")
    tokens = found["tokens"]
    say(
        "tokens",
        f"{tokens['text']:.0f} of a text on the mean, at most {tokens['longest_text']}; "
        f"{tokens['template']} of the template, at most {tokens['longest_prompt']} of a prompt",
    )
    say("texts", found["texts"]["told"])
    memory = found["memory"]
    training = memory["training"]
    say(
        "memory of a worker",
        f"{shown_size(memory['worker'])}: the model {shown_size(memory['model'])}, texts "
        f"{shown_size(memory['texts'])}, "
        + ("training unknown here" if training is None else f"training {shown_size(training)}"),
    )
    columns = [
        ("a whole trial by itself", "left"), ("tokens", "right"), ("seconds", "right"),
        ("least", "right"), ("most", "right"),
    ]  # fmt: skip
    seconds = found["seconds"]
    rows = [
        (
            kind if own["error"] is None else f"{kind}: {own['error']}",
            f"{tokens['trial'][kind]:,}",
            *(
                f"{own[name]:.3g}" if own["error"] is None else "-"
                for name in ("mean", "least", "most")
            ),
        )
        for kind, own in seconds["trial"].items()
    ]
    out.print(table(f"Measured on {seconds['device']} in {seconds['dtype']}", columns, rows))
    if seconds["slower"]:
        say("trials are slower than they might be", seconds["slower"])
    search = found["search"]
    workers = search["workers"]
    who = "one worker" if workers in (0, 1, "auto") else f"{workers} workers"
    limit = search["time_limit"]
    told = "no time limit" if limit is None else f"the time limit is {shown_seconds(limit)}"
    say(
        "the search",
        f"{search['trials']} trials on {who}, {search['trials_per_worker']} side by side on each: "
        f"about {shown_seconds(search['seconds'])}, with {shown_seconds(seconds['load'])} to load "
        f"the model and {shown_seconds(seconds['texts'])} to compute the texts; {told}. "
        "The vote, baselines and the test split come on top.",
    )
