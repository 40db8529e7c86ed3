"""The page on integrations says what is so; skorch takes the losses of calkit as they are."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest
import torch
from skorch import NeuralNetClassifier
from torch import nn

import calkit
from calkit_torch.losses import get_loss

PAGE = (Path(__file__).parents[2] / "docs" / "user_guide" / "integrations.md").read_text(encoding="utf-8")


@pytest.mark.filterwarnings(r"ignore:`isinstance\(treespec, LeafSpec\)` is deprecated:FutureWarning")
@pytest.mark.filterwarnings("ignore:.*does not have many workers:UserWarning")
@pytest.mark.filterwarnings("ignore:'pin_memory' argument is set as true but no accelerator:UserWarning")
def test_the_examples_run(tmp_path, monkeypatch):
    """One after the other, as a reader would type them."""
    monkeypatch.chdir(tmp_path)
    names: dict[str, object] = {}
    with torch.random.fork_rng():
        torch.manual_seed(0)
        for block in re.findall(r"```python\n(.*?)```", PAGE, flags=re.DOTALL):
            exec(block, names)
    for folder in ("lightning-run", "transformers-run"):
        assert calkit.load_calibrator(tmp_path / folder / "calibrator.json").temperature_ > 0
        for split in ("val", "test"):
            assert calkit.load_predictions(tmp_path / folder / "logits.npz", split=split).kind == "logits"


@pytest.mark.parametrize("spec", ["FLA-53", "mmce:2", "label-smoothing:0.05"])
def test_skorch_minimises_the_loss_it_is_given(spec):
    """Its training loss after no step is calkit's loss of the first logits."""
    generator = torch.Generator().manual_seed(0)
    x, y = torch.randn(60, 4, generator=generator), torch.randint(3, (60,), generator=generator)
    with torch.random.fork_rng():
        torch.manual_seed(0)
        layer = nn.Linear(4, 3)
    with torch.no_grad():
        expected = get_loss(spec)(layer(x), y).item()
    net = NeuralNetClassifier(
        layer,
        criterion=get_loss,
        criterion__spec=spec,
        predict_nonlinearity=lambda z: torch.softmax(z, 1),
        lr=0.0,
        max_epochs=1,
        batch_size=60,
        train_split=None,
        verbose=0,
    ).fit(x.numpy(), y.numpy())
    assert net.history[-1, "train_loss"] == pytest.approx(expected, rel=1e-6)
    with torch.no_grad():
        probs = torch.softmax(layer(x), 1).numpy()
    np.testing.assert_allclose(net.predict_proba(x.numpy()), probs, rtol=1e-5)
