"""The command ``galaxies``, also as ``python -m galaxies``."""

import sys

from galaxies.commands.command_line import main

__all__ = ["main"]

if __name__ == "__main__":
    sys.exit(main())
