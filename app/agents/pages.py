"""The pages and sections of a site, read from its objectives."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import NamedTuple

from app.agents.entities import ADDRESS
from app.agents.job import Brief
from app.agents.words import listed, slug, vocabulary

MAX_PAGES = 12
MAX_SECTIONS = 20
_NOT_PAGES = vocabulary("no_pages")
_KNOWN_SECTIONS = listed("sections")
_STOPS = vocabulary("page_stops")
_INTRODUCTIONS = vocabulary("page_introductions")
_MAX_WORDS = 3


class Section(NamedTuple):
    """A section of a page."""

    slug: str
    title: str


class Page(NamedTuple):
    """A page; the one of the slug "index" comes first."""

    slug: str
    title: str
    sections: tuple[Section, ...]


class Site(NamedTuple):
    """The pages, and the address to which messages go, if one was given."""

    pages: tuple[Page, ...]
    address: str


def site_of(brief: Brief, clauses: Sequence[Sequence[str]]) -> Site:
    """The site of a brief, of which the clauses tell."""
    pages: dict[str, str] = {}
    sections: dict[str, str] = {}
    for words in clauses:
        text = " ".join(words)
        for name in (*_before(words, "page"), *_listed(words, "pages")):
            pages.setdefault(slug(name), name)
        for name in (*_before(words, "section"), *_listed(words, "sections")):
            sections.setdefault(slug(name), name)
        for name in _KNOWN_SECTIONS:
            if re.search(rf"\b{name}\b(?! (?:page|section))", text):
                sections.setdefault(slug(name), name)
        if re.search(r"\bcontact\b(?! page)", text):
            sections.setdefault("contact", "contact")
    for home in ("home", "homepage", "index", ""):
        pages.pop(home, None)
    sections.pop("", None)
    found = ADDRESS.search(" ".join((*brief.objectives, brief.description)))
    if found and "contact" not in pages:
        sections.setdefault("contact", "contact")
    sections = {name: title for name, title in sections.items() if name not in pages}
    shown = tuple(Section(name, _title(title)) for name, title in sections.items())[:MAX_SECTIONS]
    others = tuple(Page(name, _title(title), ()) for name, title in pages.items() if name != "404")
    return Site((Page("index", "Home", shown), *others[: MAX_PAGES - 1]), found.group() if found else "")


def _before(words: Sequence[str], noun: str) -> list[str]:
    """The names before the noun: "about page", "home, about and contact pages"."""
    names: list[str] = []
    for at, word in enumerate(words):
        if word not in {noun, f"{noun}s"}:
            continue
        place = at
        group: list[str] = []
        while place > 0:
            start = place
            while start > 0 and words[start - 1] not in _STOPS and words[start - 1] not in {noun, f"{noun}s"}:
                start -= 1
            name = " ".join(words[start:place][-2:])
            if not name or words[place - 1] in _NOT_PAGES:
                break
            group.insert(0, name)
            place = start
            if word == noun or place == 0 or words[place - 1] not in {",", "and", "&"}:
                break
            while place > 0 and words[place - 1] in {",", "and", "&"}:
                place -= 1
        names += group
    return [name for name in names if len(name) > 1]


def _listed(words: Sequence[str], noun: str) -> list[str]:
    """The names after the noun: "pages: home, about us and contact"."""
    start = next((at + 1 for at, word in enumerate(words[:-1]) if word == noun), 0)
    if start and words[start] in _INTRODUCTIONS:
        start += 1
    elif "," not in words[start:]:
        return []
    names: list[str] = []
    item: list[str] = []
    for word in [*words[start:], ","] if start else []:
        if word in {",", "and", "&", ";"}:
            if 0 < len(item) <= _MAX_WORDS:
                names.append(" ".join(item))
            item = []
        elif word in {"a", "an", "the", "our", "its", "their"} and not item:
            continue
        elif word in _STOPS:
            if item:
                names.append(" ".join(item[:_MAX_WORDS]))
            break
        else:
            item.append(word)
    return [f"about {name}" if name in {"me", "us"} else name for name in names if name[0].isalpha()]


def _title(name: str) -> str:
    return "FAQ" if name == "faq" else name[:1].upper() + name[1:]
