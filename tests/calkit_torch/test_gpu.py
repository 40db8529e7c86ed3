"""What a GPU must do as the CPU does: losses, networks, the trainer with its options, resuming."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from calkit_torch.losses import get_loss
from calkit_torch.models import MODELS, RowDropout, get_model
from calkit_torch.models.row_dropout import BatchMasks, shared_masks
from calkit_torch.training import Callback, train
from calkit_torch.training.callbacks import CalibrationHistory, GradientNorms, SaveLogits
from tests.calkit_torch.training_samples import SAMPLES

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device"),
]

LOSSES = ("CE", "Brier", "mmce:2", "mmce-w:2,scaling=code", "FL-3", "focal:0.5", "FLA-532", "FLA-53", "dual-focal:5")
IMAGE_MODELS = ("resnet50", "resnet110", "wide-resnet-26-10-postactivation", "densenet121", "small-resnet")


@pytest.fixture(autouse=True)
def exact() -> Any:
    """Without TensorFloat-32, whose products have ten bits."""
    before = torch.backends.cuda.matmul.allow_tf32, torch.backends.cudnn.allow_tf32
    torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = False
    yield
    torch.backends.cuda.matmul.allow_tf32, torch.backends.cudnn.allow_tf32 = before


@pytest.mark.parametrize("spec", LOSSES)
@pytest.mark.parametrize("reduction", ["mean", "sum"])
def test_losses(spec: str, reduction: str) -> None:
    logits = torch.randn(512, 100, generator=torch.Generator().manual_seed(0)) * 4
    y = torch.arange(512) % 100
    found = []
    for device in ("cpu", "cuda"):
        z = logits.detach().to(device).requires_grad_()
        value = get_loss(spec, reduction=reduction)(z, y.to(device))
        value.backward()
        found.append((value.detach().cpu(), z.grad.cpu()))
    torch.testing.assert_close(found[0], found[1], rtol=1e-4, atol=1e-5 * float(found[0][1].abs().max()) + 1e-7)


@pytest.mark.parametrize("name", IMAGE_MODELS)
def test_networks_for_images(name: str) -> None:
    model, x = get_model(name, n_classes=10).eval(), torch.randn(4, 3, 32, 32)
    with torch.no_grad():
        expected = model(x)
        found = model.to("cuda")(x.to("cuda")).cpu()
        last = model.to(memory_format=torch.channels_last)(x.to("cuda").contiguous(memory_format=torch.channels_last))
    scale = float(expected.abs().max())
    torch.testing.assert_close(found, expected, rtol=1e-3, atol=1e-3 * scale)
    torch.testing.assert_close(last.cpu(), expected, rtol=1e-3, atol=1e-3 * scale)


def test_documents() -> None:
    model = get_model("global-pooling-cnn:width=8,embedding_dim=6", 5, vocabulary_size=50).eval()
    words = torch.randint(1, 50, (9, 700))
    words[:, 300:] = 0
    with torch.no_grad():
        expected = model(words)
        torch.testing.assert_close(model.to("cuda")(words.to("cuda")).cpu(), expected, rtol=1e-3, atol=1e-4)


def run_of(folder: Path, name: str, device: str, *callbacks: Callback, **changes: Any) -> Any:
    recipe, data = SAMPLES[name]
    kept = [CalibrationHistory(), SaveLogits(), *callbacks]
    options = {key: changes.pop(key) for key in ("resume", "checkpoint_batches") if key in changes}
    return train(
        replace(recipe, **changes), data(), out=folder, device=device, callbacks=kept, progress=False, **options
    )


def logits_of(run: Any) -> Any:
    with np.load(run.logits()) as found:
        return found["test_logits"]


@pytest.mark.parametrize("name", ["batches", "trees"])
def test_training_is_that_of_the_cpu(name: str, tmp_path: Path) -> None:
    """Without dropout, whose masks are those of the device."""
    model = SAMPLES[name][0].model
    changes = {"model": f"{model},dropout=0"} if name == "trees" else {}
    runs = [run_of(tmp_path / device, name, device, **changes) for device in ("cpu", "cuda")]
    np.testing.assert_allclose(*map(logits_of, runs), rtol=2e-2, atol=2e-2)
    for a, b in zip(*(run.history for run in runs), strict=True):
        assert a["train_loss"] == pytest.approx(b["train_loss"], rel=1e-2)


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"precision": "bfloat16", "channels_last": True},
        {"precision": "float16"},
        {"pipeline": "dataloader", "workers": 2},
        {"cuda_graphs": True},
        {"cuda_graphs": True, "precision": "bfloat16", "channels_last": True},
        pytest.param({"compile": True}, marks=pytest.mark.slow),
    ],
    ids=[
        "float32",
        "bfloat16, channels last",
        "float16, GradScaler",
        "dataloader",
        "graphs",
        "graphs, bfloat16",
        "compile",
    ],
)
def test_options_of_the_trainer(changes: dict[str, Any], tmp_path: Path) -> None:
    """All learn: the error falls below that of a guess, 2 in 3, and no logit is lost."""
    run = run_of(tmp_path / "run", "images", "cuda", GradientNorms([1]), **changes)
    assert np.isfinite(logits_of(run)).all()
    assert run.history[-1]["train"]["error"] < 0.6
    assert run.history[0]["gradient_norms"]["mean"] > 0


def test_replayed_steps_are_those_of_the_network(tmp_path: Path) -> None:
    """Also the last batch of an epoch, which is smaller, and the running statistics."""
    runs = [run_of(tmp_path / str(on), "images", "cuda", epochs=1, cuda_graphs=on) for on in (False, True)]
    np.testing.assert_allclose(*map(logits_of, runs), rtol=2e-2, atol=2e-2)


class Stop(Callback):
    def on_batch_end(self, state: Any) -> None:
        if state.step == 6:
            raise KeyboardInterrupt


@pytest.mark.parametrize("changes", [{}, {"precision": "float16"}], ids=["float32", "float16"])
def test_resumed_runs_end_as_whole_ones(changes: dict[str, Any], tmp_path: Path) -> None:
    whole = run_of(tmp_path / "whole", "vectors", "cuda", **changes)
    with pytest.raises(KeyboardInterrupt):
        run_of(tmp_path / "cut", "vectors", "cuda", Stop(), checkpoint_batches=2, **changes)
    cut = run_of(tmp_path / "cut", "vectors", "cuda", resume=True, **changes)
    np.testing.assert_allclose(logits_of(cut), logits_of(whole), rtol=1e-4, atol=1e-4)


def test_parts_of_a_batch_lose_what_the_whole_would() -> None:
    """The masks of several processes, as one draws them on the device; see test_models_row_dropout."""
    x, layer, rows = torch.randn(9, 40, device="cuda"), RowDropout(0.3), torch.tensor([0, 1, 5], device="cuda")
    with torch.random.fork_rng():
        torch.cuda.manual_seed(5)
        wanted = layer(x)
        with shared_masks([layer], BatchMasks(9, rows, seed=5)):
            assert torch.equal(layer(x[rows]), wanted[rows])


def test_all_networks_are_named_here_or_are_for_other_inputs() -> None:
    others = {"mlp", "global-pooling-cnn", "tree-lstm", "resnet110-bottleneck", "wide-resnet-26-10"}
    assert set(IMAGE_MODELS) | others >= set(MODELS)
