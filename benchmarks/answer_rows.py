"""The answers' lines: how good the ensemble is, and how fast its report."""

import statistics

from benchmarks.row import Row, measure


def answers() -> list[Row]:
    """The ensemble on unseen texts, over three seeds, beside PEFT on the same texts and steps."""
    seeds = [str(seed) for seed in range(3)]
    ours = [measure("our_answer", "--seed", seed) for seed in seeds]
    same = ["--test", "1000", "--seed"]
    tuned = [measure("peft_prompt_tuning", "--virtual-tokens", "16", *same, seed) for seed in seeds]
    lora = [
        measure("peft_prompt_tuning", "--adapter", "lora", "--learning-rate", "0.001", *same, seed)
        for seed in seeds
    ]
    minutes = max(each["seconds"] for each in ours) / 60

    def of(key: str, data: str = "movies") -> list[float]:
        return [each[data][key]["score"] for each in ours]

    def row(what: str, key: str, against: str, theirs: list[float], lead: float, note: str) -> Row:
        data, _, _ = what.partition(":")
        scores = of(key, data)
        mean, other = statistics.mean(scores), statistics.mean(theirs)
        each = ", ".join(f"{score:.3f}" for score in scores)
        return Row(
            what,
            f"{mean:.4f} ({each})",
            f"{other:.4f}, {against}",
            mean / other,
            f">= {against}" + (f" + {lead * 100:.0f} point" if lead else ""),
            mean >= other + lead,
            note,
        )

    note = f"3 seeds, {ours[0]['trials']} trials each, {minutes:.1f} minutes at most"
    there = [(data, of("no_prompt", data)) for data in ("amazon", "tweets")]
    return [
        row("movies: ensemble", "ensemble", "PEFT prompt tuning",
            [each["accuracy"] for each in tuned], 0, note),
        row("movies: ensemble, LoRA", "ensemble", "LoRA r=8",
            [each["accuracy"] for each in lora], 0, note),
        row("movies: ensemble, its members", "ensemble", "members' mean", of("mean"), 0.01, note),
        *(row(f"{data}: ensemble", "ensemble", "zero-shot", zero, 0, "trained on movies")
          for data, zero in there),
        *(row(f"{data}: best prompt", "best", "zero-shot", zero, 0, "trained on movies")
          for data, zero in there),
    ]  # fmt: skip


def report() -> list[Row]:
    found = measure("many_trials")
    return [
        Row(
            f"the report of a search of {found['trials']} trials",
            f"{found['seconds']:.1f} s",
            f"{found['bytes'] / 1e6:.1f} MB",
            found["seconds"] / 3,
            "< 3 s, < 5 MB",
            found["seconds"] < 3 and found["bytes"] < 5e6,
        )
    ]
