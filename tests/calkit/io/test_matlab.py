"""MATLAB's files, as SciPy writes them and as MATLAB itself does."""

import struct
import zlib

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from scipy.io import savemat

from calkit.errors import FileFormatError
from calkit.io import load_predictions, open_container

numbers = hnp.arrays(
    st.sampled_from(["f8", "f4", "i1", "u1", "i2", "u2", "i4", "u4", "i8", "u8", "?", ">f8"]),
    hnp.array_shapes(min_dims=2, max_dims=3, min_side=1, max_side=6),
)


@given(values=numbers, packed=st.booleans())
def test_arrays_that_scipy_writes(values, packed, tmp_path_factory):
    path = tmp_path_factory.mktemp("mat") / "a.mat"
    savemat(path, {"x": values}, do_compression=packed)
    with pytest.MonkeyPatch.context() as patch:
        # Here, not in a process for each example.
        patch.setenv("CALKIT_SANDBOXED", "1")
        found = open_container(path).fields["x"]
        expected = values.reshape(-1, order="F") if values.ndim == 2 and 1 in values.shape else values
        assert found.shape == expected.shape
        np.testing.assert_array_equal(found.read(), expected)


def test_text_and_what_is_not_read(tmp_path):
    variables = {
        "words": np.array(["ant", "bee é", ""], dtype=object),
        "chars": np.array(["ab", "cde"]),
        "cells": np.array([np.zeros(3), "x"], dtype=object),
        "struct": {"a": 1},
        "complex": np.array([1j, 2]),
    }
    savemat(tmp_path / "a.mat", variables)
    fields = open_container(tmp_path / "a.mat").fields
    assert fields["words"].read().tolist() == ["ant", "bee é", ""]
    assert fields["chars"].read().tolist() == ["ab", "cde"]
    for name, what in (
        ("cells", "cells other than text"),
        ("struct", "MATLAB's type 'struct'"),
        ("complex", "complex numbers"),
    ):
        with pytest.raises(FileFormatError, match=f"a.mat:{name} holds {what}"):
            fields[name].read()


@pytest.mark.parametrize("values", [np.eye(3), np.arange(6, dtype=np.int16)[:, None], np.array([[1.5, 2.5]])])
def test_version_4(tmp_path, values):
    savemat(tmp_path / "a.mat", {"x": values}, format="4")
    found = open_container(tmp_path / "a.mat").fields["x"]
    expected = values.reshape(-1) if 1 in values.shape else values
    assert found.shape == expected.shape
    np.testing.assert_array_equal(found.read(), expected)


def test_cells_of_many_words(tmp_path):
    words = np.array([f"class {i % 7}" for i in range(20_000)], dtype=object)
    savemat(tmp_path / "a.mat", {"logits": np.zeros((20_000, 2)), "labels": words})
    assert open_container(tmp_path / "a.mat").fields["labels"].read().tolist() == words.tolist()


def element(kind, data, order="<"):
    return struct.pack(order + "II", kind, len(data)) + data + b"\0" * (-len(data) % 8)


def matrix(name, shape, kind, data_kind, data, order="<"):
    head = element(6, struct.pack(order + "II", kind, 0), order)
    head += element(5, struct.pack(f"{order}{len(shape)}i", *shape), order) + element(1, name, order)
    return element(14, head + element(data_kind, data, order), order)


@pytest.mark.parametrize("order", ["<", ">"])
def test_doubles_stored_as_bytes_as_matlab_does(tmp_path, order):
    # MATLAB writes an array of doubles that are whole numbers below 256 as bytes: class 6, data of type 2.
    logits = matrix(b"logits", (4, 3), 6, 2, bytes(range(12)), order)
    labels = matrix(b"labels", (4, 1), 9, 2, bytes([0, 1, 2, 1]), order)
    header = b"MATLAB 5.0 MAT-file".ljust(124) + (b"\0\x01IM" if order == "<" else b"\x01\0MI")
    packed = zlib.compress(labels)
    (tmp_path / "a.mat").write_bytes(header + logits + struct.pack(order + "II", 15, len(packed)) + packed)
    p = load_predictions(tmp_path / "a.mat")
    assert p.scores.dtype == np.float64
    np.testing.assert_array_equal(p.scores[:], np.arange(12.0).reshape(4, 3, order="F"))
    assert p.y_true.tolist() == [0, 1, 2, 1]


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"x" * 200, "Unknown mat file type.*Save it again|save it again"),
        (matrix(b"x", (10**5, 10**5), 6, 9, b"\0" * 8), ""),
        (matrix(b"x", (-1, 3), 6, 9, b"\0" * 8), "has the dimensions"),
        (matrix(b"x", (2, 2), 6, 9, b"\0" * 32)[:-8], "could not read bytes"),
        (matrix(b"x", (2, 2), 6, 77, b"\0" * 32), "was ended by SIGSEGV|not a readable"),
        (element(1, b"x"), "Expecting miMATRIX type"),
        (b"", "holds no variables"),
    ],
)
def test_damaged(tmp_path, data, message):
    header = b"MATLAB 5.0 MAT-file".ljust(124) + b"\0\x01IM"
    (tmp_path / "a.mat").write_bytes(data if b"xxx" in data else header + data)
    with pytest.raises(FileFormatError, match=rf"a\.mat.*{message}|announces .* of data"):
        open_container(tmp_path / "a.mat").fields["x"].read()
