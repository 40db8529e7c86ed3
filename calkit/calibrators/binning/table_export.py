"""Fitted maps as tables in CSV and JSON, for programs that have no calkit; compared with the original first."""

from __future__ import annotations

import csv
import json
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from calkit.atomic import atomic_write
from calkit.errors import CalkitError, UsageError
from calkit.registry import Registry

if TYPE_CHECKING:
    from calkit.calibrators.binning.base import TableMaps

__all__ = ["TABLE_FORMATS", "export_table", "table_proba"]

Floats = NDArray[np.float64]

#: Pairs of functions that write a table to a file and read it, by the suffix.
TABLE_FORMATS: Registry[tuple[Callable[[dict[str, Any], Path], None], Callable[[Path], dict[str, Any]]]] = Registry(
    "format of tables"
)

_ROWS = 1000
_CLOSE = 1e-9
_FORMAT = "calkit-table"
_HEADER = ("class", "shape", "probability", "value", "uniform_share")


def export_table(calibrator: TableMaps, path: str | Path) -> None:
    """Write the tables of a calibrator, after reading them back and comparing them with it on 1,000 rows."""
    path = Path(path)
    if path.suffix.lower() not in TABLE_FORMATS:
        raise UsageError(f"{path.name} must end in {' or '.join(TABLE_FORMATS)}, by which the format is chosen.")
    write, read = TABLE_FORMATS[path.suffix.lower()]
    logits = _edge_cases(calibrator)
    with atomic_write(path) as temporary:
        write(_document(calibrator), temporary)
        worst = abs(table_proba(read(temporary), logits) - calibrator.predict_proba(logits)).max()
        if not worst <= _CLOSE:
            raise CalkitError(
                f"the table gives other probabilities than the calibrator, by up to {worst:.3g}; nothing is written."
            )


def table_proba(document: dict[str, Any], logits: Floats) -> Floats:
    """Return the probabilities that a table gives, by nothing but what it says.

    Parameters
    ----------
    document : dict
        As in a JSON file: ``shape``, ``classes``, ``uniform_share`` and ``tables``.
    logits : ndarray of shape (n, K)

    Returns
    -------
    ndarray of float64, shape (n, K)
    """
    impossible = np.isneginf(logits)
    p = np.exp(logits - logits.max(axis=1, keepdims=True))
    p /= p.sum(axis=1, keepdims=True)
    look_up = _step if document["shape"] == "step" else _line
    if p.shape[1] == 2:
        second = look_up(document["tables"][0], p[:, 1])
        found = np.stack([1 - second, second], axis=1)
    else:
        found = np.stack([look_up(table, x) for table, x in zip(document["tables"], p.T, strict=True)], axis=1)
    found[impossible] = 0
    nothing = found.sum(axis=1) <= 0
    found[nothing] = ~impossible[nothing]
    found /= found.sum(axis=1, keepdims=True)
    share = document["uniform_share"]
    found = (1 - share) * found + share / p.shape[1]
    found[impossible] = 0
    return np.asarray(found / found.sum(axis=1, keepdims=True))


def _step(table: dict[str, Any], x: Floats) -> Floats:
    """Return the value of the first step whose upper end is at least x; beyond the last, that of the last."""
    keys, values = np.asarray(table["probability"]), np.asarray(table["value"])
    return values[np.minimum(np.searchsorted(keys, x, "left"), len(keys) - 1)] if len(keys) else x


def _line(table: dict[str, Any], x: Floats) -> Floats:
    """Interpolate between points; where two have one probability, the latter counts at it."""
    keys, values = np.asarray(table["probability"]), np.asarray(table["value"])
    if not len(keys):
        return x
    right = np.clip(np.searchsorted(keys, x, "right"), 1, max(len(keys) - 1, 1))
    if len(keys) == 1:
        return np.full(len(x), values[0])
    left, inside = right - 1, np.clip(x, keys[0], keys[-1])
    width = keys[right] - keys[left]
    share = np.divide(inside - keys[left], width, out=np.ones(len(x)), where=width > 0)
    return np.asarray(np.where(inside == keys[-1], values[-1], (1 - share) * values[left] + share * values[right]))


def _document(calibrator: TableMaps) -> dict[str, Any]:
    k = len(calibrator.classes_)
    shown = calibrator.classes_.tolist()[1:] if k == 2 else calibrator.classes_.tolist()
    tables = []
    for problem, label in enumerate(shown):
        keys, values = calibrator.table(problem)
        tables.append({"class": label, "probability": keys.tolist(), "value": values.tolist()})
    strength = calibrator.mixed_rows(k)
    return {
        "format": _FORMAT,
        "calibrator": calibrator.name,
        "shape": "step" if calibrator.is_step else "line",
        "classes": calibrator.classes_.tolist(),
        "uniform_share": strength / (calibrator.n_rows_ + strength),
        "tables": tables,
    }


def _edge_cases(calibrator: TableMaps) -> Floats:
    """Return 1,000 rows of logits: of many scales, at the keys themselves, with ties, and with impossible classes."""
    k = len(calibrator.classes_)
    rng = np.random.default_rng(0)
    rows = rng.normal(size=(_ROWS, k)) * np.repeat([0.0, 0.1, 1, 3, 10, 30, 100, 1000], _ROWS // 8)[:, None]
    rows[::7] = np.round(rows[::7])
    if len(calibrator.keys_):
        # Near the ends of steps, but not at them: what a program computes of a logit may be one rounding off.
        p = np.clip(rng.choice(calibrator.keys_, _ROWS // 4), 1e-12, 1 - 1e-12)
        near = np.log(p) - np.log1p(-p) + rng.choice([-1e-6, 1e-6], len(p))
        rows[1::4], rows[1::4, k - 1] = 0, near + np.log(k - 1)
    rows[3::11, 0] = -np.inf
    return np.asarray(rows)


def _write_json(document: dict[str, Any], path: Path) -> None:
    path.write_text(json.dumps(document, indent=1) + "\n", encoding="utf-8")


def _read_json(path: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return found


def _write_csv(document: dict[str, Any], path: Path) -> None:
    with path.open("w", encoding="utf-8", newline="") as stream:
        writer = csv.writer(stream, lineterminator="\n")
        writer.writerow(_HEADER)
        for table in document["tables"]:
            start = table["class"], document["shape"]
            # A class without a table keeps its probability.
            points = list(zip(table["probability"], table["value"], strict=True)) or [("", "")]
            writer.writerows([*start, *point, document["uniform_share"]] for point in points)


def _read_csv(path: Path) -> dict[str, Any]:
    tables: dict[str, dict[str, list[float]]] = {}
    with path.open(encoding="utf-8", newline="") as stream:
        for row in csv.DictReader(stream):
            table = tables.setdefault(row["class"], {"probability": [], "value": []})
            if row["value"]:
                table["probability"].append(float(row["probability"]))
                table["value"].append(float(row["value"]))
    return {"shape": row["shape"], "uniform_share": float(row["uniform_share"]), "tables": list(tables.values())}


TABLE_FORMATS.register(".json")((_write_json, _read_json))
TABLE_FORMATS.register(".csv")((_write_csv, _read_csv))
