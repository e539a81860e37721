"""Where commands are run: terminals that lack letters, and machines with both versions of addresses."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from app.commands.serve import _listening
from app.settings import load_settings


@pytest.mark.processes
@pytest.mark.usefixtures("state")
def test_names_are_told_whatever_the_terminal_can_show() -> None:
    """Of letters that its encoding lacks, JSON keeps every one; text for people shows a question mark."""
    name = "M\u00fcller \u6771\u4eac"

    def ran(*arguments: str, encoding: str = "cp1252", given: bytes = b"") -> subprocess.CompletedProcess[bytes]:
        command = [sys.executable, "-P", "-m", "app", *arguments]
        environment = {**os.environ, "PYTHONIOENCODING": encoding, "PYTHONUTF8": "1"}
        return subprocess.run(command, env=environment, capture_output=True, check=False, input=given)

    added = ran("add-tenant", "--name", name, "--slug", "mueller", "--email", "it@mueller.example")
    told, shown, known = (
        ran("list-tenants", "--json"),
        ran("list-tenants"),
        ran("list-tenants", "--json", encoding="utf-8"),
    )
    spelled = "p\u00e4ssword of \u6771\u4eac".encode()
    operator = ("create-operator", "--email", "o@example.com", "--role", "owner", "--password-stdin", "--json")
    signed = ran(*operator, given=spelled + b"\n")
    refused = ran(*operator, given="p\u00e4ssword in Latin 1".encode("latin-1") + b"\n")

    assert [process.returncode for process in (added, told, shown, known, signed)] == [0] * 5, added.stderr
    assert name in [tenant["name"] for tenant in json.loads(told.stdout.decode("ascii"))["tenants"]]
    assert name in known.stdout.decode()
    assert "M\u00fcller ??" in shown.stdout.decode("cp1252")
    assert (refused.returncode, refused.stderr.count(b"\n")) == (2, 1)
    assert b"is not text in UTF-8" in refused.stderr


@pytest.mark.skipif(not socket.has_dualstack_ipv6(), reason="this machine has no IPv6")
@pytest.mark.parametrize(("host", "works"), [("::", True), ("::1", False), ("0.0.0.0", True)])
def test_every_address_means_those_of_both_versions(state: Path, host: str, works: bool) -> None:
    with _listening(load_settings(state_dir=state, host=host, port=0)) as listener:
        port = listener.getsockname()[1]
        with socket.socket() as caller:
            assert (caller.connect_ex(("127.0.0.1", port)) == 0) == works
        with socket.socket(socket.AF_INET6) as caller:
            assert (caller.connect_ex(("::1", port)) == 0) == (host != "0.0.0.0")
