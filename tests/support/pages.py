"""Pages as a person uses them without a script: the forms on them, their fields as they stand, and sending them."""

from __future__ import annotations

from html.parser import HTMLParser

from httpx2 import Response
from support.operators import Browser


class _Reading(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.forms: list[tuple[str, dict[str, str]]] = []
        self.cells: list[list[str]] = []
        self.inputs: dict[str, dict[str, str | None]] = {}
        self.tags: list[str] = []
        self._is_cell = False

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        attributes = dict(attrs)
        self.tags.append(tag)
        if tag == "form":
            self.forms.append((attributes.get("action") or "", {}))
        elif tag == "input" and (name := attributes.get("name")):
            self.forms[-1][1][name] = attributes.get("value") or ""
            self.inputs[attributes.get("id") or name] = attributes
        elif tag == "tr":
            self.cells.append([])
        elif tag in {"td", "th"}:
            self.cells[-1].append("")
            self._is_cell = True

    def handle_endtag(self, tag: str) -> None:
        if tag in {"td", "th"}:
            self._is_cell = False

    def handle_data(self, data: str) -> None:
        if self._is_cell:
            self.cells[-1][-1] += data


def read(page: Response) -> _Reading:
    """What is on a page."""
    reading = _Reading()
    reading.feed(page.text)
    return reading


def fields_of(page: Response, action: str) -> dict[str, str]:
    """The fields of the first form on a page that goes there, as they stand."""
    return next(fields for place, fields in read(page).forms if place == action)


def actions_on(page: Response) -> set[str]:
    """Where the forms on a page go."""
    return {action for action, _ in read(page).forms}


def table_on(page: Response) -> list[list[str]]:
    """The texts of the rows of the table on a page, without its head."""
    return [[" ".join(cell.split()) for cell in row] for row in read(page).cells[1:]]


async def submit(person: Browser, page: Response, action: str, /, **typed: str) -> Response:
    """Send a form on a page that a person has looked at, with what they typed."""
    form = {**fields_of(page, action), **typed}
    return await person.http.post(action, data=form, headers={"origin": person.live.base_url})
