"""The answers' lines: how good the ensemble is, and how fast its report."""

import statistics
from concurrent.futures import ThreadPoolExecutor

from benchmarks.row import CORES, Row, measure, of_seeds

SEEDS = [str(seed) for seed in range(3)]

#: What `our_answer` scored on the mean of these seeds with the commit before KV prompts.
BEFORE_KV = {"movies": 0.8637, "tweets": 0.8763, "amazon": 0.8699}


def answers() -> list[Row]:
    """The ensemble on unseen texts over three seeds, beside its members and the bare template."""
    ours = [measure("our_answer", "--seed", seed) for seed in SEEDS]
    minutes = max(each["seconds"] for each in ours) / 60
    note = f"3 seeds, {ours[0]['trials']} trials each, {minutes:.1f} minutes at most"

    def row(what: str, key: str, against: str, other: str, lead: float, note: str) -> Row:
        data = what.partition(":")[0]
        theirs = [each[data][other]["score"] for each in ours]
        return _row(what, [each[data][key]["score"] for each in ours], against, theirs, lead, note)

    return [
        row("movies: ensemble, its members", "ensemble", "members' mean", "mean", 0.01, note),
        row("movies: ensemble", "ensemble", "the template alone", "no_prompt", 0, note),
        *(
            row(f"{data}: {what}", key, "zero-shot", "no_prompt", 0, "trained on movies")
            for data in ("amazon", "tweets")
            for what, key in (("ensemble", "ensemble"), ("best prompt", "best"))
        ),
    ]


def kv_answers() -> list[Row]:
    """Ensembles of KV prompts over three seeds, beside those of the version before there were any:
    the preset `quick` of soft and hard prompts, on the same texts."""
    options = ("--space", "kv", "--trials", "16", "--together", "8")
    ours = [measure("our_answer", "--seed", seed, *options) for seed in SEEDS]
    minutes = max(each["seconds"] for each in ours) / 60
    rows = []
    for data, before in BEFORE_KV.items():
        scores = [each[data]["ensemble"]["score"] for each in ours]
        mean = statistics.mean(scores)
        rows.append(
            Row(
                f"{data}: ensemble of KV prompts",
                of_seeds(scores),
                f"{before:.4f}, the soft ensemble before",
                mean / before,
                "> the soft ensemble before",
                mean > before,
                f"3 seeds, 16 trials each, {minutes:.1f} minutes at most",
            )
        )
    return rows


def peft() -> list[Row]:
    """The same ensembles beside PEFT, trained on the same texts for as many steps."""
    ours = [measure("our_answer", "--seed", seed) for seed in SEEDS]
    # In the dtype that ours chooses; it takes PEFT two thirds of the time, and no accuracy.
    same = ["--test", "1000", "--steps", str(ours[0]["steps"]), "--dtype", "bfloat16"]
    scores = [each["movies"]["ensemble"]["score"] for each in ours]
    settings = {
        "PEFT prompt tuning": ["--virtual-tokens", "16"],
        "LoRA r=8": ["--adapter", "lora", "--learning-rate", "0.001"],
    }
    # Nothing is timed here, so several run at once.
    with ThreadPoolExecutor(CORES) as pool:
        theirs = {
            against: [
                pool.submit(
                    measure, "peft_prompt_tuning", *options, *same, "--seed", seed, threads=1
                )
                for seed in SEEDS
            ]
            for against, options in settings.items()
        }
    note = f"3 seeds, {ours[0]['steps']} steps of 16 texts, both in bfloat16"
    return [
        _row(
            f"movies: ensemble, {against}",
            scores,
            against,
            [run.result()["accuracy"] for run in runs],
            0,
            note,
        )
        for against, runs in theirs.items()
    ]


def _row(
    what: str, scores: list[float], against: str, theirs: list[float], lead: float, note: str
) -> Row:
    mean, other = statistics.mean(scores), statistics.mean(theirs)
    return Row(
        what,
        of_seeds(scores),
        f"{of_seeds(theirs)}, {against}",
        mean / other,
        f">= {against}" + (f" + {lead * 100:.0f} point" if lead else ""),
        mean >= other + lead,
        note,
    )


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
