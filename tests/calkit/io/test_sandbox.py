"""Untrusted files are read in a process with limits; whatever they do there ends in one error here."""

import gc
import json
import os
import tempfile
from pathlib import Path

import click
import numpy as np
import pytest

import calkit
from calkit.cli.app import _COMMANDS, cli, run
from calkit.errors import FileFormatError, InputError, NotFoundError, UsageError
from calkit.io import Sandbox, describe, load_predictions, open_container
from tests.attack_files import ATTACKS
from tests.io_samples import SAMPLES, options_of

LOGITS = np.random.default_rng(0).normal(size=(40, 3)).astype(np.float32)
LABELS = np.random.default_rng(1).integers(0, 3, 40)
TIGHT = Sandbox(memory=250_000_000, seconds=4)


def children():
    """Return the processes that this one started and that are still there, dead ones not waited for included."""
    tasks = Path(f"/proc/{os.getpid()}/task")
    return {child for task in tasks.iterdir() for child in (task / "children").read_text().split()}


@pytest.fixture
def clean(tmp_path, monkeypatch):
    """Check that a test leaves neither files nor processes behind."""
    (tmp_path / "tmp").mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "tmp"))
    before = children()
    yield
    # Tracebacks hold on to what was open.
    gc.collect()
    assert not list((tmp_path / "tmp").iterdir())
    assert children() <= before


@pytest.mark.parametrize("name", ATTACKS)
def test_attacks(name, tmp_path, clean):
    library, write = ATTACKS[name]
    pytest.importorskip(library)
    path = write(tmp_path)
    assert sum(f.stat().st_size for f in tmp_path.rglob("*") if f.is_file()) < 50e6
    with pytest.raises(FileFormatError) as caught:
        calkit.evaluate(load_predictions(path, sandbox=TIGHT))
    assert str(path) in str(caught.value)
    assert str(caught.value).isprintable()


@pytest.mark.parametrize(
    "name",
    ["npz", "npy", "csv.xz", "json", "parquet", "datasets", "hdf5", "matlab-row", "safetensors", "torch", "shards"],
)
def test_honest_files_are_read_as_ever(name, tmp_path, clean):
    pytest.importorskip(SAMPLES[name].library or "numpy")
    path = SAMPLES[name].write(tmp_path, LOGITS, LABELS)
    options = options_of(name, tmp_path)
    plain, boxed = load_predictions(path, **options), load_predictions(path, sandbox=True, **options)
    np.testing.assert_array_equal(np.asarray(boxed.scores), np.asarray(plain.scores))
    np.testing.assert_array_equal(boxed.y_true, plain.y_true)
    assert (boxed.kind, boxed.class_names, dict(boxed.meta)) == (plain.kind, plain.class_names, dict(plain.meta))
    assert calkit.evaluate(boxed, ["nll"])["nll"] == calkit.evaluate(plain, ["nll"])["nll"]


def test_descriptions_are_the_same(tmp_path, clean):
    np.savez(tmp_path / "a.npz", val_logits=LOGITS, val_labels=LABELS, words=["a", "b"], notes=np.array([{}]))
    assert describe(tmp_path / "a.npz", sandbox=True) == describe(tmp_path / "a.npz")
    assert open_container(tmp_path / "a.npz", sandbox=True).listing() == open_container(tmp_path / "a.npz").listing()


def test_columns_are_stacked(tmp_path, clean):
    (tmp_path / "a.csv").write_text("cat,dog,label\n0.25,0.75,dog\n0.5,0.5,cat\n")
    p = load_predictions(tmp_path / "a.csv", scores="dog,cat", kind="probs", sandbox=True)
    assert (p.scores.tolist(), p.class_names, p.y_true.tolist()) == ([[0.75, 0.25], [0.5, 0.5]], ("dog", "cat"), [0, 1])


def test_bfloat16_stays_known_as_such(tmp_path, clean):
    bits = (LOGITS.view(np.uint32) >> 16).astype(np.uint16).view("V2")
    np.savez(tmp_path / "a.npz", logits=bits, labels=LABELS)
    p = load_predictions(tmp_path / "a.npz", sandbox=True)
    assert (p.scores.itemsize, p.scores.dtype) == (2, np.float32)


def test_empty_and_scalar_arrays(tmp_path, clean):
    np.savez(tmp_path / "a.npz", none=np.zeros((0, 3)), number=np.float32(1.5), text=np.array("word"))
    fields = open_container(tmp_path / "a.npz", sandbox=True).fields
    assert (fields["none"].read().shape, fields["number"].read().item()) == ((0, 3), 1.5)
    assert fields["text"].read().item() == "word"


def test_errors_keep_their_types(tmp_path, clean):
    np.savez(tmp_path / "a.npz", logits=LOGITS, labels=LABELS)
    with pytest.raises(NotFoundError, match="unknown array 'x'"):
        load_predictions(tmp_path / "a.npz", scores="x", sandbox=True)
    with pytest.raises(FileFormatError, match=r"b\.npz does not exist"):
        load_predictions(tmp_path / "b.npz", sandbox=True)
    with pytest.raises(NotFoundError, match="unknown format"):
        load_predictions(tmp_path / "a.npz", file_format="x", sandbox=True)
    np.savez(tmp_path / "c.npz", logits=LOGITS, labels=LABELS[:5])
    with pytest.raises(InputError, match="labels has 5 rows|y_true has 5 rows"):
        load_predictions(tmp_path / "c.npz", sandbox=True)
    np.save(tmp_path / "d.npy", np.array([{}]))
    with pytest.raises(FileFormatError, match="pickled Python objects"):
        open_container(tmp_path / "d.npy", sandbox=True).fields["d"].read()


def test_labels_of_another_file(tmp_path, clean):
    np.save(tmp_path / "logits.npy", LOGITS)
    np.save(tmp_path / "y.npy", LABELS)
    p = load_predictions(tmp_path / "logits.npy", labels=tmp_path / "y.npy", sandbox=True)
    np.testing.assert_array_equal(p.y_true, LABELS)


def test_what_cannot_be(tmp_path, monkeypatch):
    np.savez(tmp_path / "a.npz", logits=LOGITS, labels=LABELS)
    with pytest.raises(UsageError, match="sandbox and trust_pickle exclude each other"):
        load_predictions(tmp_path / "a.npz", sandbox=True, trust_pickle=True)
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(UsageError, match="this platform .* does not have. Read the file in a virtual machine"):
        load_predictions(tmp_path / "a.npz", sandbox=True)


def test_a_platform_that_knows_limits_and_does_not_keep_them(tmp_path, clean):
    np.savez(tmp_path / "a.npz", logits=LOGITS, labels=LABELS)
    # More than any address can hold: the limit cannot be set.
    with pytest.raises(UsageError, match="the sandbox needs limits of memory, which this platform"):
        load_predictions(tmp_path / "a.npz", sandbox=Sandbox(memory=2**70))


def test_messages_name_the_limit(tmp_path, clean):
    # To start Python and NumPy takes longer than a tenth of a second.
    (tmp_path / "a.csv").write_bytes(b"logit_0,logit_1,label\n" + b"1,2,0\n" * 10)
    with pytest.raises(FileFormatError, match=r"a\.csv is not read: in the sandbox of 250 MB and 0.1 s, .* took more"):
        load_predictions(tmp_path / "a.csv", sandbox=Sandbox(memory=250_000_000, seconds=0.1))


def test_shards(tmp_path, clean):
    path = SAMPLES["shards"].write(tmp_path, LOGITS, LABELS)
    plain = calkit.evaluate(load_predictions(path), ["nll"])
    shards = calkit.shards.Shards(str(path / "*.npz"), sandbox=True)
    assert calkit.evaluate(shards, ["nll"])["nll"] == pytest.approx(plain["nll"], abs=1e-12)


def test_every_command_that_reads_has_the_option():
    reading = []
    for name in _COMMANDS:
        options = {o for param in cli.get_command(click.Context(cli), name).params for o in param.opts}
        if "--file-format" in options:
            reading.append(name)
            assert {"--sandbox", "--trust-pickle"} <= options, name
    assert set(reading) >= {"evaluate", "fit", "apply", "plot", "report", "show", "convert"}


def test_on_the_command_line(tmp_path, capsys, monkeypatch, clean):
    path = SAMPLES["csv"].write(tmp_path, LOGITS, LABELS)
    assert run(["evaluate", str(path), "--sandbox", "--format", "json", "--metrics", "nll"]) == 0
    [found] = json.loads(capsys.readouterr().out)
    assert found["metrics"]["nll"] == calkit.evaluate(load_predictions(path), ["nll"])["nll"]
    assert run(["show", str(path), "--sandbox"]) == 0
    assert run(["convert", str(path), str(tmp_path / "b.npz"), "--sandbox"]) == 0
    assert run(["show", str(path), "--sandbox", "--trust-pickle"]) == 2
    assert "exclude each other" in capsys.readouterr().err
