"""What is passed on names files, and not where they lie."""

import pytest

from autoprompt.shown_paths import shown_config, shown_data, shown_path, shown_text, shown_url


@pytest.mark.parametrize(
    ("path", "shown"),
    [
        ("/home/me/models/tiny", "tiny"),
        ("/home/me/models/tiny/", "tiny"),
        ("~/tiny.gguf", "tiny.gguf"),
        ("../mine/tiny", "tiny"),
        ("models/tiny.GGUF", "tiny.GGUF"),
        ("data/texts.csv", "texts.csv"),
        ("HuggingFaceTB/SmolLM2-135M", "HuggingFaceTB/SmolLM2-135M"),
        ("stanfordnlp/sst2", "stanfordnlp/sst2"),
        ("/", "/"),
    ],
)
def test_a_path_is_shown_by_its_name_and_a_hub_id_as_it_is(path: str, shown: str) -> None:
    assert shown_path(path) == shown


def test_data_of_several_files_is_shown_by_their_names() -> None:
    assert (
        shown_data({"train": "/a/b.csv", "validation": None, "test": "/a/c.csv"}) == "b.csv, c.csv"
    )
    assert shown_data("/a/b.csv") == "b.csv"


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("sqlite:////home/me/store.db", "sqlite://.../store.db"),
        ("postgresql://me:secret@host:5432/searches?password=x", "postgresql://.../searches"),
        ("postgresql://me:se?cret@host/searches", "postgresql://..."),
        ("https://me:secret@host/a/b", "https://host/a/b"),
        ("file:///home/me/texts.csv", "file://.../texts.csv"),
    ],
)
def test_a_url_keeps_no_secret_and_no_folder(url: str, shown: str) -> None:
    assert shown_url(url) == shown
    assert shown_text(f"cannot open {url}: gone") == f"cannot open {shown}: gone"


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("/home/me/m: no such file", "m: no such file"),
        ("[Errno 2] '/home/me/m.bin'", "[Errno 2] 'm.bin'"),
        ("in /home/me/my models/tiny, none", "in tiny, none"),
        ("File ~/a/b.py line 3", "File b.py line 3"),
        ("and/or 1/2, n/a, km/h/s", "and/or 1/2, n/a, km/h/s"),
        ("of org/model at https://hub/org/model", "of org/model at https://hub/org/model"),
    ],
)
def test_a_sentence_keeps_names_and_no_folders(text: str, shown: str) -> None:
    assert shown_text(text, ["/home/me/my models/tiny"]) == shown


def test_a_configuration_keeps_everything_but_folders() -> None:
    config = {
        "model": {"path": "/home/me/tiny", "adapter": "/home/me/lora", "dtype": "auto"},
        "data": {"path": {"train": "/home/me/a.csv", "test": None}, "text": "text"},
        "task": {"template": "/not/a/path {text}"},
        "space": {"soft": {"init_prompt": ["/home/me/a.safetensors", "movies/2"]}, "hard": None},
        "search": {"ray_address": "ray://me:secret@host:10001"},
        "modules": "/home/me/own",
    }
    assert shown_config(config) == {
        "model": {"path": "tiny", "adapter": "lora", "dtype": "auto"},
        "data": {"path": {"train": "a.csv", "test": None}, "text": "text"},
        "task": {"template": "/not/a/path {text}"},
        "space": {"soft": {"init_prompt": ["a.safetensors", "movies/2"]}, "hard": None},
        "search": {"ray_address": "ray://host:10001"},
        "modules": "own",
    }
    assert config["model"]["path"] == "/home/me/tiny"
