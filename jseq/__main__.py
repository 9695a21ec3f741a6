"""`python -m jseq FILE` shows what a file of weights holds."""

import sys

from jseq._tools.command_line import main

if __name__ == "__main__":
    sys.exit(main())
