"""The command line in this process: what a command has answered and printed."""

from __future__ import annotations

import json
import sys
from dataclasses import dataclass
from typing import Any

import pytest

from app.__main__ import main


@dataclass(frozen=True)
class Ran:
    """What a command has left: its exit code and its two outputs."""

    exit_code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        """The one JSON object on standard output."""
        assert self.exit_code == 0, self.err
        return json.loads(self.out)


@dataclass
class Portal:
    """Runs commands in this process, as the shell would."""

    capture: pytest.CaptureFixture[str]
    environment: pytest.MonkeyPatch

    def __call__(self, *arguments: str, **variables: str) -> Ran:
        with self.environment.context() as patch:
            patch.setattr(sys, "argv", ["portal", *arguments])
            for name, value in variables.items():
                patch.setenv(name, value)
            self.capture.readouterr()
            exit_code = main()
        return Ran(exit_code, *self.capture.readouterr())
