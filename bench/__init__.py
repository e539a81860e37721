"""The bench: what this server does beside other designs, on the machine that runs it, with one command."""

import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
# The databases and the processes of the tests serve here, too.
sys.path.insert(0, str(ROOT / "tests"))
