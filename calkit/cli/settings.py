"""Defaults of options from ``[tool.calkit]`` of the project's pyproject.toml."""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Any

import click

from calkit.errors import UsageError
from calkit.registry import unknown_name

__all__ = ["read_settings", "settings_for"]

# What says where calkit reads from or writes to, or what it trusts, is never a hidden default.
_NEVER = {"debug", "help", "output", "trust-pickle"}


def read_settings(folder: Path) -> tuple[dict[str, Any], Path | None]:
    """Return the table ``[tool.calkit]`` of the nearest pyproject.toml, and that file's path.

    Parameters
    ----------
    folder : Path
        Where to look first; then its parents, up to the first pyproject.toml.

    Returns
    -------
    settings : dict
        Empty if there is no such file or table.
    path : Path or None

    Raises
    ------
    UsageError
        If the file is not TOML, or the table is none.
    """
    for place in (folder, *folder.parents):
        path = place / "pyproject.toml"
        if path.is_file():
            break
    else:
        return {}, None
    try:
        document = tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise UsageError(f"cannot read the settings in {path}: {error}.") from None
    settings = document.get("tool", {}).get("calkit", {})
    if not isinstance(settings, dict):
        raise UsageError(f"[tool.calkit] in {path} must be a table, but is {settings!r}.")
    return settings, path


def settings_for(name: str, command: click.Command, folder: Path) -> dict[str, Any]:
    """Return the defaults of a command's options, by the names of its parameters.

    Keys of ``[tool.calkit]`` are long options without their dashes and apply to every command that has them; those of
    ``[tool.calkit.COMMAND]`` apply to that one, and are preferred.

    Raises
    ------
    UsageError
        If the command has no such option, or it cannot be set there.
    """
    settings, path = read_settings(folder)
    options = {
        word.removeprefix("--"): parameter
        for parameter in command.params
        if isinstance(parameter, click.Option)
        for word in parameter.opts
        if word.startswith("--")
    }
    shared = {key: value for key, value in settings.items() if not isinstance(value, dict)}
    own = settings.get(name, {})
    for key in [*own, *shared]:
        if key in _NEVER:
            raise UsageError(f"{key!r} cannot be set in {path}; give it on the command line.")
    unknown = [key for key in own if key not in options]
    if unknown:
        raise unknown_name("setting", unknown[0], options, of=f"[tool.calkit.{name}] in {path}")
    chosen = {key: value for key, value in {**shared, **own}.items() if key in options}
    return {str(options[key].name): _as_given(options[key], value) for key, value in chosen.items()}


def _as_given(option: click.Option, value: Any) -> Any:
    """Return a setting as the option takes it: a list is given by commas where the option is not repeated."""
    if isinstance(value, list) and not option.multiple:
        return ",".join(str(item) for item in value)
    if option.multiple and not isinstance(value, list):
        return [value]
    return value
