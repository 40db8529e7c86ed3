"""Word vectors from GloVe files and from scratch: values, compression, errors that name file and line."""

from __future__ import annotations

import gzip
import lzma
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from calkit.errors import FileFormatError, InputError, NotFoundError
from calkit_torch.models import PADDING, glove_embedding, random_embedding, read_glove

LINES = "the 0.5 -1.25 2\n, 0.25 1e-1 -3.5\nünïcode\x85\rx 1 2 3\n. . . 4 5 6\nthe 9 9 9\nlast -7 0 7\n"
WRITERS: dict[str, Callable[[Path, bytes], object]] = {
    "vectors.txt": Path.write_bytes,
    "vectors.txt.gz": lambda path, text: path.write_bytes(gzip.compress(text)),
    "vectors.txt.xz": lambda path, text: path.write_bytes(lzma.compress(text)),
}


def written(folder: Path, text: str | bytes, name: str = "vectors.txt") -> Path:
    WRITERS[name](folder / name, text.encode() if isinstance(text, str) else text)
    return folder / name


@pytest.mark.parametrize("name", WRITERS)
@pytest.mark.parametrize("end", ["\n", "\r\n", " \n"])
def test_the_words_wanted_are_read(tmp_path: Path, name: str, end: str) -> None:
    path = written(tmp_path, LINES.replace("\n", end), name)
    wanted = {"the", ",", "ünïcode\x85\rx", ". . .", "last", "absent", "."}
    found = read_glove(path, wanted)
    # The numbers as they stand in LINES; of the two lines of "the" the first.
    assert {word: vector.tolist() for word, vector in found.items()} == {
        "the": [0.5, -1.25, 2],
        ",": [0.25, pytest.approx(0.1), -3.5],
        "ünïcode\x85\rx": [1, 2, 3],
        ". . .": [4, 5, 6],
        "last": [-7, 0, 7],
    }
    assert all(vector.dtype == np.float32 for vector in found.values())


def test_the_last_line_may_lack_its_end(tmp_path: Path) -> None:
    assert read_glove(written(tmp_path, "a 1 2\nb 3 4"), ["b"])["b"].tolist() == [3, 4]
    assert read_glove(str(written(tmp_path, "a 1 2\nb 3 4")), {"c": 1}) == {}


def test_an_embedding_holds_the_vectors_at_the_ids(tmp_path: Path) -> None:
    path = written(tmp_path, LINES)
    vocabulary = {"the": 3, "absent": 1, "last": 5}
    embedding = glove_embedding(path, vocabulary, seed=8)
    assert embedding.weight.shape == (6, 3)
    assert embedding.weight.requires_grad
    assert embedding.padding_idx == PADDING == 0
    assert embedding.weight[3].tolist() == [0.5, -1.25, 2]
    assert embedding.weight[5].tolist() == [-7, 0, 7]
    assert embedding.weight[PADDING].tolist() == [0, 0, 0]
    missing = embedding.weight[[1, 2, 4]]
    assert missing.abs().max().item() <= 0.05
    assert len(missing.unique()) == 9
    assert torch.equal(glove_embedding(path, vocabulary, seed=8).weight, embedding.weight)
    assert not torch.equal(glove_embedding(path, vocabulary, seed=9).weight[1], embedding.weight[1])
    assert not glove_embedding(path, vocabulary, trainable=False).weight.requires_grad


def test_arrays_of_vectors(tmp_path: Path) -> None:
    path = tmp_path / "vectors.npz"
    np.savez(path, words=np.array(["a", "ü", "a"]), vectors=np.array([[0.5, 1], [2, 3], [9, 9]], dtype=np.float16))
    assert {w: v.tolist() for w, v in read_glove(path, {"a", "ü", "absent"}).items()} == {"a": [0.5, 1], "ü": [2, 3]}
    np.savez(path, words=np.array(["ü".encode()]), vectors=np.ones((1, 2)))
    assert read_glove(path, {"ü"})["ü"].dtype == np.float32
    zeros = glove_embedding(path, {"ü": 2, "absent": 1}, unknown="zero")
    assert zeros.weight.tolist() == [[0, 0], [0, 0], [1, 1]]
    with pytest.raises(NotFoundError, match="unknown vector of unknown words 'zeros'. Did you mean 'zero'"):
        glove_embedding(path, {"ü": 2}, unknown="zeros")


@pytest.mark.parametrize(
    ("arrays", "message"),
    [
        ({"words": ["a"]}, "cannot read .*vectors.npz as word vectors"),
        ({"words": ["a"], "vectors": [[1.0], [2.0]]}, "must hold words"),
        ({"words": ["a"], "vectors": [[1]]}, "must hold words"),
        ({"words": [1.0], "vectors": [[1.0]]}, "must hold words"),
        ({"words": ["a"], "vectors": [[np.nan]]}, "the numbers must be finite, but those of 'a'"),
    ],
)
def test_arrays_that_are_no_vectors(tmp_path: Path, arrays: dict[str, list], message: str) -> None:
    np.savez(tmp_path / "vectors.npz", **arrays)
    with pytest.raises(FileFormatError, match=message):
        read_glove(tmp_path / "vectors.npz", {"a"})


def test_random_vectors_depend_on_the_seed_alone() -> None:
    before = torch.get_rng_state()
    first, second, other = (
        random_embedding(500, 20, seed=1),
        random_embedding(500, 20, seed=1),
        random_embedding(500, 20),
    )
    assert torch.equal(torch.get_rng_state(), before)
    assert torch.equal(first.weight, second.weight)
    assert not torch.equal(first.weight, other.weight)
    assert isinstance(first.weight, nn.Parameter)
    assert not first.weight[PADDING].any()
    # A uniform distribution within ±0.05 has the standard deviation 0.1 / sqrt(12).
    assert first.weight[1:].std().item() == pytest.approx(0.1 / 12**0.5, rel=0.02)
    assert first.weight.abs().max().item() <= 0.05


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "is empty"),
        ("the 1 2\n\nlast 1 2\n", "line 2: expected a word and 2 numbers, but found ''"),
        ("the\nlast\n", "line 1: expected a word and some numbers, but found 'the'"),
        ("the 1 2\nshort 1\n", "line 2: expected a word and 2 numbers, but found 'short 1'"),
        ("the 1 2\nlong 1 2 3\n", "line 2: more than the 2 numbers of line 1: 'long 1 2 3'"),
        ("2000 50\nthe 1 2 3\n", "line 2: more than the 1 numbers of line 1"),
        ("the 1 2\n 1 2\n", "line 2: expected a word and 2 numbers"),
        ("the 1 2\nlast 1 x2\n", "line 2: expected numbers after the word, but found '1 x2'"),
        ("the 1 2\nlast 1  2\n", "line 2"),
        ("the 1 2\nlast 1 nan\n", "line 2: the numbers must be finite, but found '1 nan'"),
        ("the 1 2\nlast 1 inf\n", "line 2: the numbers must be finite"),
        (b"the 1 2\nlast\xff 1 2\n", "cannot read .* 'utf-8' codec"),
    ],
)
def test_malformed_files_name_file_and_line(tmp_path: Path, text: str | bytes, message: str) -> None:
    path = written(tmp_path, text)
    with pytest.raises(FileFormatError, match=message) as raised:
        read_glove(path, {"the", "last"})
    assert str(path) in str(raised.value)


@pytest.mark.parametrize("name", ["vectors.txt.gz", "vectors.txt.xz"])
def test_broken_archives(tmp_path: Path, name: str) -> None:
    path = written(tmp_path, LINES * 100, name)
    whole = path.read_bytes()
    middle = len(whole) // 2
    for broken in (whole[:middle], whole[:middle] + b"!!!!" + whole[middle + 4 :], b"the 1 2\n"):
        path.write_bytes(broken)
        with pytest.raises(FileFormatError, match="cannot read"):
            read_glove(path, {"the"})


def test_a_missing_file(tmp_path: Path) -> None:
    with pytest.raises(FileFormatError, match=r"cannot read .*absent\.txt"):
        glove_embedding(tmp_path / "absent.txt", {"the": 1})


@pytest.mark.parametrize(
    ("vocabulary", "message"),
    [
        ({}, "empty or holds a negative id"),
        ({"the": -1}, "empty or holds a negative id"),
        ({"The": 1, "Last": 2}, "holds none of the vocabulary's 2 words; compare their case"),
    ],
)
def test_vocabularies_that_cannot_serve(tmp_path: Path, vocabulary: dict[str, int], message: str) -> None:
    with pytest.raises(InputError, match=message):
        glove_embedding(written(tmp_path, LINES), vocabulary)


@pytest.mark.parametrize(("size", "dim"), [(0, 5), (5, 0), (5, 2.0), (True, 5)])
def test_sizes_that_are_none(size: int, dim: int) -> None:
    with pytest.raises(InputError, match="must be a whole number of at least 1"):
        random_embedding(size, dim)
