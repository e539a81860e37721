"""The templates of pages: found and compiled when the server starts, each value escaped, and none missing."""

from __future__ import annotations

from jinja2 import Environment, PackageLoader, StrictUndefined

_environment = Environment(
    loader=PackageLoader("blueprints", "."),
    autoescape=True,
    undefined=StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
    # Nothing is looked for on the disk while somebody waits for a page.
    auto_reload=False,
    cache_size=-1,
)
NAMES = frozenset(_environment.list_templates(extensions=["html"]))
for _name in NAMES:
    _environment.get_template(_name)


def render(name: str, **values: object) -> str:
    """The HTML that a template, named by its path within ``blueprints``, makes of these values."""
    return _environment.get_template(name).render(values)
