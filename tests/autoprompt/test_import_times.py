"""Nobody waits for what they do not use: an import and `--help` load next to nothing."""

import resource
import subprocess
import sys

import pytest

IMPORT = "import autoprompt"
HELP = "import sys; sys.argv[1:] = ['--help']; from autoprompt.cli import main; main()"


def seconds(code: str) -> float:
    """What a new interpreter computes for it, the least of five; waiting does not count."""
    took = []
    for _ in range(5):
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        subprocess.run([sys.executable, "-c", code], check=True, capture_output=True)
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        took.append(after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime)
    return min(took)


@pytest.mark.parametrize(("code", "limit"), [(IMPORT, 0.15), (HELP, 0.5)])
def test_it_takes_no_longer_than_promised(code: str, limit: float) -> None:
    assert seconds(code) - seconds("pass") < limit


@pytest.mark.parametrize("code", [IMPORT, HELP])
def test_it_loads_nothing_heavy(code: str) -> None:
    heavy = (
        "torch",
        "ray",
        "transformers",
        "datasets",
        "numpy",
        "pydantic",
        "sqlalchemy",
        "optuna",
    )
    told = (
        f"import atexit, sys; atexit.register(lambda: print(*sys.modules, file=sys.stderr)); {code}"
    )
    done = subprocess.run([sys.executable, "-c", told], check=True, capture_output=True, text=True)
    assert not set(heavy) & set(done.stderr.split())


def test_every_public_name_is_found_where_it_lives() -> None:
    import autoprompt

    assert set(autoprompt.__all__) <= set(dir(autoprompt))
    for name in autoprompt.__all__:
        assert getattr(autoprompt, name) is not None
    with pytest.raises(AttributeError, match="no attribute 'serch'"):
        _ = autoprompt.serch
