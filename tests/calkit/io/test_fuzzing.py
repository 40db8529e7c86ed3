"""A small dose of tests/fuzz_readers.py, with a fixed seed."""

import importlib.util

import pytest

from tests.fuzz_readers import SANDBOXED, fuzz
from tests.io_samples import SAMPLES


@pytest.mark.slow
def test_damaged_files_are_read_or_refused(tmp_path):
    for name in SAMPLES:
        if SAMPLES[name].library is not None:
            pytest.importorskip(SAMPLES[name].library)
    results = fuzz(n_files=6 * len(SAMPLES), seed=20, names=list(SAMPLES), keep=tmp_path)
    assert sum(counts.total() for counts in results.values()) == 6 * len(SAMPLES)
    wrong = {name: dict(counts) for name, counts in results.items() if set(counts) - {"read", "refused"}}
    assert not wrong
    # Damage is real: most files are refused, and some survive it.
    refused = sum(counts["refused"] for counts in results.values())
    assert 0.5 < refused / (6 * len(SAMPLES)) < 0.99


@pytest.mark.slow
def test_damaged_files_in_the_sandbox(tmp_path, monkeypatch):
    names = ["npz-compressed", "tsv.gz", "json-split", "parquet", "hdf5"]
    names = [name for name in names if importlib.util.find_spec(SAMPLES[name].library or "numpy")]
    monkeypatch.setenv(SANDBOXED, "1")
    results = fuzz(n_files=3 * len(names), seed=21, names=names, keep=tmp_path)
    assert {what for counts in results.values() for what in counts} <= {"read", "refused"}
