"""The command line: thin click commands over the Python API.

Exit codes: 0 done, 2 bad input, 1 failure, 130 stopped by Ctrl-C.
"""

from autoprompt.cli.main import main

__all__ = ["main"]
