"""The specification: what entities, fields and pages objectives tell of, and what covers each of them."""

from __future__ import annotations

import pytest
from support.agents import brief_of

from app.agents.specification import Specification, specify


def fields_of(spec: Specification) -> dict[str, list[str]]:
    """The fields of each entity, those that may be absent in parentheses."""
    return {
        entity.name: [field.name if field.required else f"({field.name})" for field in entity.fields]
        for entity in spec.entities
    }


@pytest.mark.parametrize(
    ("text", "entities"),
    [
        ("REST API for books with title and author", {"books": ["title", "author"]}),
        (
            "REST API: books have a title, an author and a year of publication",
            {"books": ["title", "author", "year_of_publication"]},
        ),
        ("Each book of the API has a title", {"books": ["title"]}),
        (
            "API for customers (name, email) and purchase orders (amount, order date)",
            {"customers": ["name", "email"], "purchase_orders": ["amount", "order_date"]},
        ),
        (
            "API for a library: books with title and number of pages; authors with name",
            {"books": ["title", "number_of_pages"], "authors": ["name"]},
        ),
        (
            "manage customers with name, phone (optional) and an optional e-mail",
            {"customers": ["name", "(phone)", "(email)"]},
        ),
        ("CLI to manage a todo list: tasks with title; mark tasks as done", {"tasks": ["title", "(done)"]}),
        (
            "import orders from CSV files with columns id, customer, amount, date into SQLite",
            {"orders": ["order_id", "customer", "amount", "date"]},
        ),
        ("import orders from CSV; fields: amount, date", {"orders": ["amount", "date"]}),
        (
            "import sensor data from CSV files into a database; columns: value, recorded at",
            {"sensors": ["value", "recorded_at"]},
        ),
        ("POST /notes creates a note with text", {"notes": ["text"]}),
        (
            "Users can add, edit and delete recipes with name and ingredients via an API",
            {"recipes": ["name", "ingredients"]},
        ),
        ("REST API to manage books; search books by title or sort by year", {"books": ["title", "year"]}),
        ("import invoices; the amount must be positive", {"invoices": ["amount"]}),
        (
            "REST API for books; orders belong to customers; API for orders; API for customers",
            {"books": ["name"], "orders": ["name", "customer_id"], "customers": ["name"]},
        ),
        ("REST API with limit, id and sort order for books with limit and id", {"books": ["limit_value", "book_id"]}),
        ("Create an API", {"items": ["name"]}),
        ("REST API; OAuth login with Google", {"items": ["name"]}),
        ("CLI that finds duplicate files; delete old log files", {}),
        ("website with home page, about page; contact form with name and email", {}),
    ],
)
def test_entities_have_the_fields_that_are_told(text: str, entities: dict[str, list[str]]) -> None:
    assert fields_of(specify(brief_of(text, description=""))) == entities


@pytest.mark.parametrize(
    ("field", "kind"),
    [
        ("title", "text"), ("phone number", "text"), ("order number", "text"), ("cooking time", "text"),
        ("age", "integer"), ("year", "integer"), ("number of pages", "integer"), ("stock", "integer"),
        ("price", "decimal"), ("total amount", "decimal"), ("weight as decimal", "decimal"),
        ("level (integer)", "integer"),
        ("email", "email"), ("contact e-mail", "email"), ("website", "url"), ("paid", "boolean"),
        ("is active", "boolean"),
        ("due date", "date"), ("date of birth", "date"), ("published on", "date"), ("created at", "datetime"),
        ("status (open, closed)", "choice"), ("size (small / large)", "choice"), ("code (text)", "text"),
    ],
)  # fmt: skip
def test_a_field_has_the_kind_that_its_name_or_its_type_says(field: str, kind: str) -> None:
    (entity,) = specify(brief_of(f"REST API for things with name and {field}")).entities

    assert [each.kind for each in entity.fields] == ["text", kind]


def test_constraints_are_read() -> None:
    text = "API for products with sku, price, stock and note\nsku must be unique\nprices must be positive\n"
    (entity,) = specify(brief_of(f"{text}reject products with negative stock\nthe note is optional")).entities

    by_name = {field.name: field for field in entity.fields}
    assert by_name["sku"].unique
    assert by_name["price"].bound == "positive"
    assert by_name["stock"].bound == "not negative"
    assert not by_name["note"].required


def test_references_in_a_circle_may_be_empty() -> None:
    text = "API for teams with name; API for members with name; members belong to teams; teams belong to members"

    assert fields_of(specify(brief_of(text))) == {
        "teams": ["name", "(member_id)"],
        "members": ["name", "(team_id)"],
    }


@pytest.mark.parametrize(
    ("text", "pages", "sections"),
    [
        ("website with home page, about page and contact page", ["index", "about", "contact"], []),
        ("portfolio with pages: about me, projects and contact", ["index", "about_me", "projects", "contact"], []),
        ("Company website: pages Home, Services, Team", ["index", "services", "team"], []),
        ("site with home, gallery and contact pages", ["index", "gallery", "contact"], []),
        ("landing page with opening hours section and price list", ["index"], ["opening_hours", "price_list"]),
        ("website with sections about me, projects and contact", ["index"], ["about_me", "projects", "contact"]),
        ("static site; write to me@example.org", ["index"], ["contact"]),
        ("Build a website", ["index"], []),
    ],
)
def test_a_site_has_the_pages_and_sections_that_are_told(text: str, pages: list[str], sections: list[str]) -> None:
    site = specify(brief_of(text)).site

    assert [page.slug for page in site.pages] == pages
    assert [section.slug for section in site.pages[0].sections] == sections


def test_the_address_of_a_site_is_the_one_that_was_given() -> None:
    assert specify(brief_of("website; contact office@example.org.")).site.address == "office@example.org"


@pytest.mark.parametrize(
    ("text", "statuses", "left"),
    [
        ("REST API for books\nunit tests\nREADME", ["covered"] * 3, ""),
        ("REST API for books\nOAuth login", ["covered", "not covered"], "oauth login"),
        ("REST API for books\ndelete old log files", ["covered", "not covered"], "delete old log files"),
        ("REST API for books, secured by Kerberos", ["covered", "not covered"], "secured kerberos"),
        ("REST API for books that speaks SOAP", ["partly covered"], "speaks soap"),
        ("website\nsend email alerts when stock is low", ["covered", "not covered"], "send email alerts stock low"),
        ("website\nemail must be unique", ["covered", "not covered"], "email unique"),
        ("CLI\nPython", ["not covered", "covered"], ""),
        ("import customers from CSV\nevery night at two", ["covered", "not covered"], "night"),
    ],
)
def test_what_is_not_understood_is_said(text: str, statuses: list[str], left: str) -> None:
    spec = specify(brief_of(text))

    assert [objective.status for objective in spec.objectives] == statuses
    assert " ".join(word for objective in spec.objectives for word in objective.left) == left


@pytest.mark.parametrize(
    ("text", "description", "products", "assumed"),
    [
        ("add books with title", "", ["rest_service"], "No objective says what to build: records are managed"),
        ("books with title", "A command-line tool for books", ["command_line_tool"], "name and description do"),
        ("import orders with amount on the command line", "", ["data_import"], ""),
        ("REST API for books, website", "", ["rest_service", "static_site"], ""),
        ("an important library", "", [], ""),
    ],
)
def test_the_kind_of_project_is_what_is_named(text: str, description: str, products: list[str], assumed: str) -> None:
    spec = specify(brief_of(text, "A project", description))

    assert list(spec.products) == products
    assert any(assumed in assumption for assumption in spec.assumptions) or not assumed
