"""The engine's lines: what a trial and a prediction cost, beside PEFT and plain loops."""

import io
import json
import shutil
import subprocess
import tarfile
import tempfile
from dataclasses import replace
from pathlib import Path

from benchmarks.row import ROOT, Row, at_most, measure, measure_script

#: The commit before KV prompts and merged attention.
BEFORE = "3af9cad8e5be5704215e990fc44cc4d490ad7189"


def soft_trial() -> list[Row]:
    """A whole soft trial against PEFT's, in PEFT's default dtype and in ours; behind the text, and
    behind the whole template."""
    ours = {
        "": measure("our_trial"),
        ", at the end": measure("our_trial", "--position", "end"),
    }
    rows = []
    for dtype, target in (("float32", 12.0), ("bfloat16", 5.0)):
        peft = measure("peft_prompt_tuning", "--dtype", dtype)
        theirs = peft["train_seconds"] + peft["evaluate_seconds"]
        settings = {
            "later": ("a search's later soft trial", f">= {target:g}x, within 1 point", ""),
            "first": ("a search's first soft trial", "-", "computes the texts too"),
            "one_of_several": (
                "one of four soft trials side by side",
                "-",
                "`trials_per_worker: 4`",
            ),
        }
        for which, (what, wanted, note) in settings.items():
            for place, timed in ours.items():
                found = timed[which]
                seconds = found["train_seconds"] + found["evaluate_seconds"]
                gain, lead = theirs / seconds, found["accuracy"] - peft["accuracy"]
                rows.append(
                    Row(
                        f"{what}{place}, PEFT in {dtype}",
                        f"{seconds:.1f} s, accuracy {found['accuracy']:.3f}",
                        f"{theirs:.1f} s, accuracy {peft['accuracy']:.3f}",
                        gain,
                        wanted,
                        which != "later" or (gain >= target and lead >= -0.01),
                        note,
                    )
                )
    return rows


def kv_trial() -> list[Row]:
    """A whole KV trial, and one of 16 side by side, against PEFT's prompt tuning with as many
    steps."""
    ours = measure("our_trial", "--kind", "kv", "--together", "16")
    peft = measure("peft_prompt_tuning", "--steps", "120")
    theirs = peft["train_seconds"] + peft["evaluate_seconds"]
    rows = []
    for which, what, target in (
        ("later", "a KV trial", 20.0),
        ("one_of_several", "one of 16 KV trials side by side", 50.0),
    ):
        timed = ours[which]
        seconds = timed["train_seconds"] + timed["evaluate_seconds"]
        gain, lead = theirs / seconds, timed["accuracy"] - peft["accuracy"]
        rows.append(
            Row(
                what,
                f"{seconds:.1f} s, accuracy {timed['accuracy']:.3f}",
                f"{theirs:.1f} s, accuracy {peft['accuracy']:.3f}",
                gain,
                f">= {target:g}x, accuracy not below",
                gain >= target and lead >= 0,
                "120 steps of 16, PEFT's prompt tuning in float32 with as many",
            )
        )
    return rows


def steps() -> list[Row]:
    """A training step beside the one of the commit before KV prompts, in one run: before, now,
    before, now."""
    with tempfile.TemporaryDirectory() as folder:
        _check_out(BEFORE, Path(folder))
        found: dict[str, list[dict[str, float]]] = {"before": [], "now": []}
        for _ in range(2):
            found["before"].append(measure_script("step_seconds", Path(folder)))
            found["now"].append(measure_script("step_seconds", ROOT))
    rows = []
    for key in found["now"][0]:
        before, now = (min(one[key] for one in found[side]) for side in ("before", "now"))
        position, count = key.split(", ")
        which = "" if count == "1" else f", one of {count} side by side"
        rows.append(
            Row(
                f"a training step of a soft prompt at `{position}`{which}",
                f"{now:.2f} s",
                f"{before:.2f} s, before",
                before / now,
                ">= 1.4x",
                before / now >= 1.4,
            )
        )
    return rows


def _check_out(commit: str, folder: Path) -> None:
    """The files of a commit, and the demo's model and texts of this checkout."""
    archive = subprocess.run(
        [shutil.which("git") or "git", "archive", commit], cwd=ROOT, check=True, capture_output=True
    )
    with tarfile.open(fileobj=io.BytesIO(archive.stdout)) as files:
        files.extractall(folder, filter="data")
    for name in ("model", "data"):
        folder.joinpath("examples", "demo", name).symlink_to(ROOT / "examples" / "demo" / name)


def search() -> list[Row]:
    """Trials an hour over the same soft and KV plans, and what a second search encodes."""
    ours = measure(
        "our_search", "--space", "soft_and_kv", "--trials", "16", "--workers", "2",
        "--together", "8", "--rungs", "3",
    )  # fmt: skip
    first, second = ours["first"], ours["second"]
    with tempfile.TemporaryDirectory() as folder:
        plans = Path(folder, "plans.json")
        plans.write_text(json.dumps(ours), encoding="utf-8")
        found = measure("peft_ray_search", "--plans", str(plans), "--workers", "2", "--stopping")
    own = first["seconds_to_best"]
    rows = []
    for where, other, target, note in (
        ("where ASHA stops some on both sides", found["seconds"], 30.0, ""),
        (
            "where PEFT's script stops none",
            found["unstopped"],
            60.0,
            "PEFT's side reckoned from the steps of the trials that were not stopped",
        ),
    ):
        rows.append(
            Row(
                f"a search of 16 soft and KV plans, {where}: trials an hour",
                f"{16 * 3600 / own:.0f} (16 in {own:.0f} s, best {first['accuracy']:.3f})",
                f"{16 * 3600 / other:.0f} (16 in {other:.0f} s, best {found['accuracy']:.3f})",
                other / own,
                f">= {target:g}x",
                other / own >= target,
                note,
            )
        )
    return [
        *rows,
        Row(
            "texts encoded by a second search",
            str(second["texts_encoded"]),
            f"{first['texts_encoded']} by the first",
            second["texts_encoded"] / max(first["texts_encoded"], 1),
            "0",
            second["texts_encoded"] == 0,
        ),
    ]


def ensemble() -> list[Row]:
    found = measure("engine", "ensemble")
    one = found["one_member_uncached"]
    return [
        at_most(
            f"5 members over 400 texts{place}",
            f"{found[five]:.2f} s",
            f"{one:.2f} s for one, uncached",
            found[five] / one,
            most,
        )
        for place, five, most in (
            ("", "five_members", 1.5),
            (", at the end", "five_at_the_end", 1.75),
            (", KV", "five_kv_members", 1.3),
        )
    ]


def memory() -> list[Row]:
    found = measure("engine", "memory")
    ratio = found["private_mb"] / found["model_mb"]
    return [
        at_most(
            "private memory of a second worker",
            f"{found['private_mb']:.0f} MB",
            f"{found['model_mb']:.0f} MB, the model",
            ratio,
            0.25,
        )
    ]


def prefix() -> list[Row]:
    found = measure("engine", "prefix")
    ratio = found["plain"] / found["shared_prefix"]
    return [
        Row(
            "a hard prefix of 16 tokens, 400 texts",
            f"{found['shared_prefix']:.2f} s",
            f"{found['plain']:.2f} s, plain forward",
            ratio,
            ">= 1.4x",
            ratio >= 1.4,
        )
    ]


def labels() -> list[Row]:
    """Many labels of several tokens beside two of one."""
    found = measure("engine", "labels")
    row = at_most(
        "77 labels of four tokens, `tree`, 400 texts",
        f"{found['many']:.2f} s",
        f"{found['two']:.2f} s for two labels of one token",
        found["many"] / found["two"],
        2.5,
    )
    note = f"{found['read']} tokens are read in the place of {found['of']}"
    return [replace(row, note=note)]


def limit() -> list[Row]:
    """What training and judging reach of the machine's own rate of matrix products."""
    found = measure("limit")
    dtype = max(found["rates"], key=found["rates"].get)
    best = found["rates"][dtype]
    rows = []
    for kind in ("training", "judging"):
        for name, timed in found[kind].items():
            share = timed["rate"] / best
            aimed = (kind, name) == ("training", "16 KV prompts")
            unit = "a step" if kind == "training" else "400 texts"
            rows.append(
                Row(
                    f"share of the matrix-product rate, {kind} {name}",
                    f"{timed['rate'] / 1e9:.0f} GFLOP/s, {found['dtype']}",
                    f"{best / 1e9:.0f} GFLOP/s, {dtype}",
                    share,
                    ">= 60%" if aimed else "-",
                    not aimed or share >= 0.6,
                    f"{timed['operations'] / 1e9:.3g} GFLOP {unit}, {timed['seconds']:.3f} s",
                )
            )
    return rows


def many_texts() -> list[Row]:
    """Trials over more texts than fit, against the time if all did."""
    found = measure("many_texts")
    few, many = found["few"], found["many"]
    at = many["places"]
    note = (
        f"{at['hand']:,} at hand, {at['disk']:,} on disk, {at['nowhere']:,} computed each time; "
        f"first encoding {many['first_encoding']:.0f} s"
    )
    rows = []
    for kind in ("soft", "kv"):
        ours, theirs = many[kind]["seconds"], few[kind]["seconds"]
        row = at_most(
            f"more texts than fit, 8 {kind} trials sharing batches, each",
            f"{ours:.1f} s, {many['texts']:,} texts",
            f"{theirs:.1f} s, if all fitted (from {few['texts']:,})",
            ours / theirs,
            1.5,
        )
        rows.append(replace(row, note=note))
    return rows


def prediction() -> list[Row]:
    """From strings to labels: one prompt, five members, three tasks."""
    loop = measure("prediction", "throughput")
    ratio = loop["ours"] / loop["loop"]
    rows = [
        Row(
            "prediction, one hard prompt",
            f"{loop['ours']:.0f} texts a second",
            f"{loop['loop']:.0f}, a transformers loop in batches of {loop['batch']}",
            ratio,
            ">= 1x",
            ratio >= 1,
            f"the same label for {loop['same']:.1%} of 400 snippets",
        )
    ]
    for setting, found in measure("prediction", "ensembles").items():
        ratio = found["five"] / found["one"]
        rows.append(
            Row(
                f"prediction, 5 members of {setting}",
                f"{found['five']:.2f} s",
                f"{found['one']:.2f} s for one",
                ratio,
                "<= 1.5x",
                ratio <= 1.5,
                f"{found['tokens']:.0f} tokens a text",
            )
        )
    found = measure("prediction", "tasks")
    rows.append(
        Row(
            "prediction, 3 tasks of 5 members",
            f"{found['together']:.2f} s together",
            f"{found['in_turn']:.2f} s one after another",
            found["in_turn"] / found["together"],
            "-",
            True,
        )
    )
    return rows
