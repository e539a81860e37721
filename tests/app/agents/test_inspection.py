"""Inspection: what can be parsed is, and no file, however hostile, takes more than its share."""

from __future__ import annotations

import pytest

from app.agents import inspection, parsers
from app.agents.inspection import Inspection, inspect

SOUND = {
    "a.py": b"x = 1\n",
    "b.json": b'{"a": [1, null]}',
    "c.toml": b"a = 1\n",
    "d.yaml": b"a: [1, 2]\n---\nb: *x\n".replace(b"*x", b"2"),
    "e.html": b"<!doctype html><html lang=en><head><title>x</title></head><body><p>y</p></body></html>",
    "f.sql": b"create table t (id integer primary key); insert into t values (1); select * from t where id = 1;",
    "g.svg": b"<svg xmlns='http://www.w3.org/2000/svg'/>",
    "h.csv": b'a,b\n1,"2, 3"\n',
    "i.jsonl": b'{"a": 1}\n{"a": 2}\n',
    "j.md": "# Grüße\n".encode(),
    "Containerfile": b"FROM python\n",
    "k.unknown": b"text",
}
DEFECTIVE = {
    "a.py": (b"def f(:\n", "line 1: invalid syntax"),
    "b.py": (b"return 1\n", "line 1: 'return' outside function"),
    "c.json": (b"{'a': 1}", "Expecting property name"),
    "d.toml": (b"a = 1\na = 2\n", "Cannot overwrite a value"),
    "e.yaml": (b"a: [1\n", "while parsing a flow sequence"),
    "f.html": (b"<!doctype html><p></div>", "line 1: unexpected end tag"),
    "g.sql": (b"create table (", "Expected"),
    "h.sql": (b"selec foo", "is no statement"),
    "i.xml": (b"<a><b></a>", "mismatched tag"),
    "j.svg": (b"<!DOCTYPE x [<!ENTITY a 'b'>]><svg>&a;</svg>", "it declares a document type"),
    "k.csv": (b"a,b\n1\n", "different numbers of cells"),
    "l.md": (b"\xff\xfe", "it is not UTF-8"),
    "m.md": (b"a\0b", "it has a null character"),
    "n.txt": (b"x" * (parsers.MAX_BYTES + 1), "more than 1,000,000 bytes"),
    "o.webmanifest": (b"[", "Expecting value"),
}
SUSPICIOUS = {
    "a.py": (b"eval('1')\n", "line 1: eval runs whatever a text says"),
    "b.py": (b"import subprocess\nsubprocess.run('ls', shell=True)\n", "line 2: shell=True gives a text to a shell"),
    "c.py": (b"import pickle\npickle.loads(b'')\n", "line 2: pickle runs code"),
    "d.py": (b"import requests\nrequests.get('', verify=False)\n", "line 2: verify=False trusts any server"),
    "e.html": (b"<!doctype html>\n<title>x</title><script>1</script>", "line 2: <script> runs"),
    "f.html": (b"<!doctype html><p onclick=x>", "line 1: the attribute onclick runs a script"),
    "g.html": (b"<!doctype html><a href=' JavaScript:x'>", "line 1: the address in href runs a script"),
    "h.html": (b"<!doctype html><img src=//elsewhere/x>", "line 1: <img> loads from elsewhere"),
    "i.txt": (b"\n-----BEGIN RSA PRIVATE KEY-----\n", "line 2: a private key stands in it"),
}
NESTED = {
    "a.py": b"(" * 200_000,
    "b.py": b"-" * 300_000 + b"1",
    "c.py": b"x = " + b"1 + " * 150_000 + b"1",
    "d.json": b"[" * 500_000,
    "e.json": b'{"a":' * 100_000,
    "f.yaml": b"[" * 300_000,
    "g.sql": b"select " + b"(" * 100_000,
    "h.toml": b"a = " + b"[" * 100_000,
    "i.xml": b"<a>" * 200_000,
}


async def test_sound_files_have_no_problems() -> None:
    assert await inspect(SOUND) == dict.fromkeys(SOUND, Inspection())


async def test_defects_are_found_with_their_places() -> None:
    inspected = await inspect({path: content for path, (content, _) in DEFECTIVE.items()})

    for path, (_, problem) in DEFECTIVE.items():
        assert any(problem in each for each in inspected[path].problems), (path, inspected[path])


async def test_suspicious_things_are_found_with_their_places() -> None:
    inspected = await inspect({path: content for path, (content, _) in SUSPICIOUS.items()})

    for path, (_, finding) in SUSPICIOUS.items():
        assert any(finding in each for each in inspected[path].findings), (path, inspected[path])


async def test_files_that_are_nested_without_end_are_defective_and_the_others_are_read() -> None:
    inspected = await inspect({**NESTED, "sound.py": b"x = 1\n", "wrong.py": b"x =\n"})

    assert all(inspected[path].problems for path in NESTED)
    assert inspected["sound.py"] == Inspection()
    assert inspected["wrong.py"].problems == ("line 1: invalid syntax",)


async def test_aliases_of_aliases_stay_small() -> None:
    bomb = b"a: &a [x, x]\n" + b"".join(
        b"%c: &%c [%s]\n" % (98 + at, 98 + at, b", ".join([b"*%c" % (97 + at)] * 9)) for at in range(20)
    )

    assert await inspect({"bomb.yaml": bomb}) == {"bomb.yaml": Inspection()}


async def test_messages_are_few_short_and_printable() -> None:
    inspected = await inspect(
        {"a.html": b"</p\x1b[31m>" * 5_000, "b.py": b"eval(1)\n" * 5_000, "c.json": b'{"' + b"\x07" * 900}
    )

    for found in inspected.values():
        messages = (*found.problems, *found.findings)
        assert 0 < len(messages) <= 2 * parsers.MAX_MESSAGES
        assert all(len(each) <= parsers.MAX_MESSAGE and each.isprintable() for each in messages)


async def test_whoever_kills_the_parser_is_found_out(monkeypatch: pytest.MonkeyPatch) -> None:
    """Also where a parser dies without an exception; after too many deaths the rest is reported as not checked."""
    deaths: list[str] = []

    async def die(files: dict[str, bytes], inspected: dict[str, Inspection]) -> str:
        path = next(iter(files))
        deaths.append(path)
        return path

    monkeypatch.setattr(inspection, "_inspect", die)
    inspected = await inspect({f"{number}.py": b"" for number in range(8)})

    assert deaths == ["0.py", "1.py", "2.py", "3.py", "4.py"]
    assert inspected["4.py"].problems == ("parsing it takes too much time or memory",)
    assert inspected["5.py"].problems == ("it was not checked, because others had to be given up",)


async def test_a_parser_that_takes_too_long_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(inspection, "WALL_SECONDS", 0.0)

    inspected = await inspect({"a.py": b"", "b.py": b""})

    assert set(inspected) == {"a.py", "b.py"}
    assert all(found.problems for found in inspected.values())
