"""The files that settings come from, and what people leave around a value there and in the environment."""

from __future__ import annotations

import os
import tomllib
from importlib.resources import files
from pathlib import Path
from typing import Any

from pydantic_settings import TomlConfigSettingsSource

from app.errors import SettingsError


class TomlFiles(TomlConfigSettingsSource):
    """Settings' files, also with the byte order mark that editors on Windows write."""

    def _read_file(self, file_path: Any) -> dict[str, Any]:
        try:
            return tomllib.loads(file_path.read_bytes().decode("utf-8-sig"))
        except UnicodeDecodeError:
            raise tomllib.TOMLDecodeError(f"{file_path} is not text in UTF-8; save it as UTF-8") from None


def without_blanks(values: dict[str, Any], but: str) -> dict[str, Any]:
    """The values without blanks, line ends and a byte order mark around them, all but the one named ``but``."""
    return {
        name: value.strip().strip("\ufeff").strip() if isinstance(value, str) and name != but else value
        for name, value in values.items()
    }


def toml_files() -> list[Path]:
    """The shipped ``sanic.toml``, and the installation's own file, which overrides it.

    The shipped file is beside the package in a source tree, and inside the package in a wheel.
    """
    shipped = Path(str(files("app"))) / "sanic.toml"
    if not shipped.exists():
        shipped = shipped.parent.parent / "sanic.toml"
    if path := os.environ.get("PORTAL_CONFIG_FILE"):
        own = Path(path)
        if not own.is_file():
            raise SettingsError(key="PORTAL_CONFIG_FILE", reason=f"there is no file {own}")
        return [shipped, own]
    return [shipped, Path("sanic.toml")]
