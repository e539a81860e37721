"""What is suspicious in code and pages: the rules by which the security agent reads."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from typing import Any

# Each of these runs whatever a text says, or reads a format that can run code.
_CALLS = {
    "eval": "eval runs whatever a text says",
    "exec": "exec runs whatever a text says",
    "os.system": "os.system gives a text to a shell",
    "os.popen": "os.popen gives a text to a shell",
    "pickle.load": "pickle runs code that its input names",
    "pickle.loads": "pickle runs code that its input names",
    "marshal.loads": "marshal trusts its input",
    "shelve.open": "shelve reads pickles, which run code that they name",
    "tempfile.mktemp": "mktemp lets others make the file first",
    "yaml.load": "yaml.load makes any object; yaml.safe_load does not",
}
_SECRETS = (
    (re.compile(r"-----BEGIN [A-Z ]{0,20}PRIVATE KEY-----"), "a private key"),
    (re.compile(r"\bAKIA[0-9A-Z]{16}\b"), "an access key of Amazon"),
    (re.compile(r"\bsk-[A-Za-z0-9_-]{20,80}"), "a key of a provider of models"),
    (re.compile(r"\bgh[pousr]_[A-Za-z0-9]{36}\b"), "a token of GitHub"),
)
_URL_ATTRIBUTES = frozenset({"src", "href", "action", "data", "poster"})


def in_text(text: str) -> Iterator[str]:
    """Secrets that a text carries."""
    for pattern, what in _SECRETS:
        if match := pattern.search(text):
            yield f"line {text.count(chr(10), 0, match.start()) + 1}: {what} stands in it"


def in_python(tree: ast.AST) -> Iterator[str]:
    """Calls that run texts or trust their input."""
    for node in ast.walk(tree):
        if not isinstance(node, ast.Call):
            continue
        name = _dotted(node.func)
        if name in _CALLS:
            yield f"line {node.lineno}: {_CALLS[name]}"
        for keyword in node.keywords:
            if isinstance(keyword.value, ast.Constant):
                if keyword.arg == "shell" and keyword.value.value is True:
                    yield f"line {node.lineno}: shell=True gives a text to a shell"
                if keyword.arg == "verify" and keyword.value.value is False:
                    yield f"line {node.lineno}: verify=False trusts any server"


def in_element(tag: str, attributes: dict[str, Any], line: int) -> Iterator[str]:
    """What an element of a page runs or loads."""
    if tag in {"script", "iframe", "object", "embed"}:
        yield f"line {line}: <{tag}> runs or shows what others may have written"
    for name, value in attributes.items():
        text = str(value or "").strip().lower()
        if name.startswith("on"):
            yield f"line {line}: the attribute {name[:20]} runs a script"
        if name in _URL_ATTRIBUTES and text.startswith(("javascript:", "data:text/html")):
            yield f"line {line}: the address in {name} runs a script"
        if tag != "a" and name in {"src", "href"} and text.startswith(("http:", "https:", "//")):
            yield f"line {line}: <{tag[:20]}> loads from elsewhere"


def _dotted(node: ast.AST) -> str:
    parts: list[str] = []
    while isinstance(node, ast.Attribute):
        parts.insert(0, node.attr)
        node = node.value
    return ".".join([node.id, *parts]) if isinstance(node, ast.Name) else ""
