"""The page on models says what is so."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import torch

from calkit_torch.models import MODELS, available_models

PAGE = (Path(__file__).parents[2] / "docs" / "user_guide" / "models.md").read_text(encoding="utf-8")
ROWS = dict(re.findall(r"^\| `([\w-]+)` \| ([\d,]+) \|", PAGE, flags=re.MULTILINE))


def test_the_examples_run(monkeypatch: pytest.MonkeyPatch) -> None:
    """One after the other, as a reader would type them."""
    # The page registers a model; the registry forgets it afterwards.
    monkeypatch.setattr(MODELS, "_items", dict(MODELS._items))
    names: dict[str, object] = {}
    with torch.random.fork_rng():
        for block in re.findall(r"```python\n(.*?)```", PAGE, flags=re.DOTALL):
            exec(block, names)


def test_every_model_has_a_row() -> None:
    assert sorted(ROWS) == available_models()


@pytest.mark.parametrize("name", ROWS)
def test_the_table_counts_right(name: str) -> None:
    of_words = {"vocabulary_size": 3} if name in ("global-pooling-cnn", "tree-lstm") else {}
    with torch.device("meta"):
        model = MODELS[name](10, **of_words)
    counted = sum(p.numel() for key, p in model.named_parameters() if not key.startswith("embedding."))
    assert f"{counted:,}" == ROWS[name]
