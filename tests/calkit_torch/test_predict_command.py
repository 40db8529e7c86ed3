"""``calkit predict``: networks of runs and of the published code, over a data set."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from click.testing import CliRunner

import calkit
from calkit.errors import UsageError
from calkit_torch.cli_predict import command
from calkit_torch.data.cifar import CIFAR10
from calkit_torch.training import Recipe, train
from tests.calkit_torch.cifar_shards import members, write_folder
from tests.calkit_torch.test_models_published import made, written


def called(*arguments: object) -> None:
    done = CliRunner().invoke(command, [str(a) for a in arguments], catch_exceptions=False)
    assert done.exit_code == 0, done.output


def test_a_run_gives_its_own_logits_again(tmp_path: Path) -> None:
    run = train(Recipe("digits", "mlp:hidden=8", "ce", epochs=1), out=tmp_path / "run", device="cpu", progress=False)
    called(run.path, "-o", tmp_path / "again.npz", "--device", "cpu")
    with np.load(tmp_path / "again.npz") as again, np.load(run.logits()) as first:
        assert set(again) == set(first)
        for name, array in first.items():
            np.testing.assert_array_equal(again[name], array)
    with pytest.raises(UsageError, match="is a run, which knows"):
        called(run.path, "--model", "resnet50", "-o", tmp_path / "x.npz")


def test_a_published_checkpoint(tmp_path: Path) -> None:
    """The logits are those of the published code's network on the test images, normalised as there."""
    write_folder(tmp_path / CIFAR10.folder, members(CIFAR10))
    theirs = made("wide_resnet")
    path = written(theirs, tmp_path / "x.model")
    out = tmp_path / "logits.npz"
    called(path, "--model", "wide_resnet", "--dataset", "cifar10", "--folder", tmp_path, "-o", out, "--device", "cpu")
    found = calkit.load_predictions(out, split="test")
    from calkit_torch.data import get_dataset

    images, labels = next(iter(get_dataset("cifar10", folder=tmp_path).loader("test", batch_size=3)))
    with torch.no_grad():
        expected = theirs(images)
    np.testing.assert_allclose(found.scores[:3], expected, rtol=1e-3, atol=1e-3 * float(expected.abs().max()))
    assert found.y_true[:3].tolist() == labels.tolist()
    with pytest.raises(UsageError, match="says neither network nor data"):
        called(path, "-o", out)
