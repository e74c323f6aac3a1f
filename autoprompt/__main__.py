"""`python -m autoprompt` is the command `autoprompt`."""

from autoprompt.cli import main

main(prog_name="python -m autoprompt")
