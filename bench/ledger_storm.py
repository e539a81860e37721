"""The proof that no cap is passed and nothing is lost, with as many random moves as wanted.

    .venv/bin/python -m bench.ledger_storm [--operations 100000] [--seed 2027] [--database sqlite|postgresql]

Four processes move one ledger at random, twelve are killed meanwhile; the test of the same name says what is compared.
The exit code is 0 if everything is right.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
from pathlib import Path

STORM = Path(__file__).parents[1] / "tests" / "journeys" / "test_ledger_storm.py"


def main() -> int:
    """Run the test with these numbers."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--operations", type=int, default=100_000, help="of all processes together")
    parser.add_argument("--seed", default="2027")
    parser.add_argument("--database", choices=["sqlite", "postgresql"], help="only this one instead of both")
    options = parser.parse_args()
    environment = {
        **os.environ,
        "PORTAL_PROOF": "full",
        "PORTAL_STORM_OPERATIONS": str(options.operations),
        "PORTAL_STORM_SEED": options.seed,
    }
    only = ["--database", options.database] if options.database else []
    return subprocess.run(
        [sys.executable, "-m", "pytest", "-s", "-q", str(STORM), *only], check=False, env=environment
    ).returncode


if __name__ == "__main__":
    sys.exit(main())
