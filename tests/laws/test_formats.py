"""Every registered format under every law, on files that the libraries which own the formats have written."""

from functools import partial

import numpy as np
import pytest

from calkit.errors import UsageError
from calkit.io import FORMATS, available_formats, open_container
from calkit.io.formats import WritableFormat
from calkit.testing import FORMAT_LAWS, check_format
from tests.io_samples import SAMPLES

WRITABLE = [name for name in available_formats() if isinstance(FORMATS[name], WritableFormat)]


@pytest.mark.parametrize("name", SAMPLES)
def test_laws(name, tmp_path):
    sample = SAMPLES[name]
    if sample.library is not None:
        pytest.importorskip(sample.library)
    rng = np.random.default_rng(0)
    path = sample.write(tmp_path, rng.normal(size=(29, 4)), rng.integers(0, 4, 29))
    trusted = bool(sample.options.get("trust_pickle"))
    opened = partial(open_container, trust_pickle=trusted)
    for law, check in FORMAT_LAWS.items():
        if not (trusted and law == "damage_is_one_clear_error"):
            check(path, opened)


def test_every_format_has_a_sample(tmp_path):
    found = set()
    for name, sample in SAMPLES.items():
        if sample.library is None or pytest.importorskip(sample.library):
            folder = tmp_path / name
            folder.mkdir()
            path = sample.write(folder, np.eye(28, 4), np.arange(28) % 4)
            found.add(open_container(path, trust_pickle=bool(sample.options.get("trust_pickle"))).format)
    assert found == set(available_formats())


@pytest.mark.parametrize("name", WRITABLE)
def test_writers(name):
    for library in FORMATS[name].requires:
        pytest.importorskip(library)
    check_format(name)


def test_a_reader_needs_a_sample():
    with pytest.raises(UsageError, match="sample='FILE'"):
        check_format("hdf5")


def test_a_broken_reader_is_caught(tmp_path, monkeypatch):
    reader = FORMATS["npy"]

    class Short(type(reader)):
        def read(self, path):
            container = super().read(path)
            fields = {
                name: item.__class__(name, (3, 4), item.dtype, item.load) for name, item in container.fields.items()
            }
            return container.__class__(path, "npy", fields)

    np.save(tmp_path / "a.npy", np.eye(4))
    monkeypatch.setitem(FORMATS._items, "npy", Short())
    with pytest.raises(AssertionError, match="has shape"):
        check_format("npy", tmp_path / "a.npy")
