"""The data sets of docs/data.md: what the script makes of its sources, and their configurations."""

import csv
import io
import json
import tarfile
import zipfile
from pathlib import Path
from typing import Any

import pytest
import yaml

from autoprompt.config import SearchConfig
from autoprompt.demo.package_files import members
from autoprompt.search_spaces.errors import FetchError
from examples.data.fetch import DATA_SETS, as_it_stands, main, spans
from tests.conftest import DEMO, write_yaml
from tests.test_docs import blocks

EXAMPLES = DEMO.parent / "data"
CONFIGURED = ("r8", "intents", "drug_reviews", "vitaminc", "disfl_qa", "polish_entities")


def csv_rows(content: bytes) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(content.decode(), newline="")))


def task(*examples: dict[str, Any]) -> bytes:
    return json.dumps({"name": "made up", "examples": examples}).encode()


def zipped(**files: str) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive:
        for name, content in files.items():
            archive.writestr(f"{name}.tsv", content)
    return out.getvalue()


def test_tables_of_r8() -> None:
    long = " ".join(f"word{number}" for number in range(60))
    table = f"Category\tText\nd\tstring\nclass\t\nship\tport closed \nearn\t{long}\n"
    train, test = DATA_SETS["r8"].contents(table.encode(), table.encode())
    assert train == test
    assert csv_rows(train) == [
        {"text": "port closed", "start": "port closed", "label": "ship"},
        {"text": long, "start": " ".join(long.split()[:48]), "label": "earn"},
    ]


def test_drug_reviews_lose_quotes_and_entities() -> None:
    head = "\tdrugName\treview\trating\n"
    train = head + '7\tA\t"""It didn&#039;t help.\r\nAt all."""\tnegative\n'
    archive = zipped(drugsComTrain=train, drugsComTest=head + "8\tB\tFine\tpositive\n")
    written = DATA_SETS["drug_reviews"].contents(archive)
    assert [csv_rows(content) for content in written] == [
        [{"text": "It didn't help. At all.", "label": "negative"}],
        [{"text": "Fine", "label": "positive"}],
    ]


def test_options_become_labels() -> None:
    scores = {"play_music": 1, "get_weather": 0}
    [written] = DATA_SETS["intents"].contents(
        task({"input": "Utterance: Play, please", "target_scores": scores})
    )
    assert csv_rows(written) == [{"text": "Play, please", "label": "play_music"}]


def test_claims_stand_beside_evidence() -> None:
    scores = {"True": 0, "False": 0, "Neither": 1}
    [written] = DATA_SETS["vitaminc"].contents(
        task({"input": "Oslo: A city .\nClaim: It is old .", "target_scores": scores})
    )
    assert csv_rows(written) == [
        {"claim": "It is old .", "evidence": "Oslo: A city .", "label": "not enough info"}
    ]


def test_answers_are_the_contexts_words() -> None:
    [written] = DATA_SETS["disfl_qa"].contents(
        task(
            {"input": "Who no what ?  \ncontext: the two - thirds rule . ", "target": "two-thirds"}
        )
    )
    assert json.loads(written) == {
        "context": "the two - thirds rule .",
        "question": "Who no what ?",
        "answers": ["two - thirds"],
    }
    assert as_it_stands("unknown", "the rule") == "unknown"
    assert as_it_stands("the r", "in the room") == "the r"


def test_spans_hold_what_the_tags_say() -> None:
    text = "Anna Nowak była w Łodzi 1 maja"
    tags = ["nam_liv", "nam_liv", "O", "O", "nam_loc", "t3_date", "t3_date"]
    [written] = DATA_SETS["polish_entities"].contents(
        task({"input": text, "target": " ".join(tags)})
    )
    row = json.loads(written)
    assert row["text"] == text
    found = [(text[span["start"] : span["end"]], span["label"]) for span in row["spans"]]
    assert found == [("Anna Nowak", "nam_liv"), ("Łodzi", "nam_loc"), ("1 maja", "t3_date")]
    assert spans("a b", ["O", "O"]) == []


@pytest.mark.parametrize("form", ["zip", "tar"])
def test_a_member_that_is_not_there_is_named(form: str, capsys: pytest.CaptureFixture[str]) -> None:
    archive = io.BytesIO()
    if form == "zip":
        with zipfile.ZipFile(archive, "w") as wheel:
            wheel.writestr("data/a.csv", "a")
    else:
        with tarfile.open(fileobj=archive, mode="w:gz") as sdist:
            entry = tarfile.TarInfo("data/a.csv")
            entry.size = 1
            sdist.addfile(entry, io.BytesIO(b"a"))
    archive.seek(0)
    assert members(archive, ["data/a.csv"]) == {"data/a.csv": b"a"}
    archive.seek(0)
    with pytest.raises(FetchError, match=r"no data/b\.csv"):
        members(archive, ["data/a.csv", "data/b.csv"])


def test_an_unknown_name_is_refused_in_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stopped:
        main(["r9"])
    assert stopped.value.code == 2
    error = capsys.readouterr().err
    assert error == f"no data set 'r9'; there is {', '.join(DATA_SETS)}\n"


def test_all_sets_are_listed(capsys: pytest.CaptureFixture[str]) -> None:
    main(["--list"])
    listed = [line.split()[0] for line in capsys.readouterr().out.splitlines()]
    assert listed == list(DATA_SETS)


@pytest.mark.parametrize("name", CONFIGURED)
def test_a_configuration_reads_what_the_script_writes(name: str) -> None:
    config = SearchConfig.read(EXAMPLES / f"{name}.yaml")
    assert config.name == name
    paths = config.data.path
    read = [paths] if isinstance(paths, str) else [paths.train, paths.test]
    assert read == [f"{name}/{file}" for file in DATA_SETS[name].files]
    assert (EXAMPLES / config.model.path).resolve().parent == (DEMO / "model").resolve()


def test_every_configuration_is_tested() -> None:
    assert {path.stem for path in EXAMPLES.glob("*.yaml")} == set(CONFIGURED)


@pytest.mark.parametrize("written", blocks("data.md", "yaml"))
def test_the_hubs_sets_are_documented_as_they_are_read(written: str, tmp_path: Path) -> None:
    content = yaml.safe_load(written) | {"model": "HuggingFaceTB/SmolLM2-135M", "space": "quick"}
    config = SearchConfig.read(write_yaml(tmp_path / "search.yaml", content))
    assert config.columns
