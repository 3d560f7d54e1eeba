"""`python -m unbroken`: the same as the command `unbroken`."""

import sys

from unbroken.cli import main

if __name__ == "__main__":
    sys.exit(main())
