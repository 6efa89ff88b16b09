"""`python -m outvote` is the `outvote` command."""

from outvote.cli.main import main

main()
