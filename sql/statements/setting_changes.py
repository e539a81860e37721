"""The history of settings: writing a row for each field that changes."""

from __future__ import annotations

from sqlalchemy import insert

from sql.tables import setting_changes

insert_setting_changes = insert(setting_changes)
