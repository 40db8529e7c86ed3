"""Text is cut into blocks of whole records, however it is quoted, packed and long."""

import bz2
import csv
import gzip
import io
import lzma

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from calkit.containers.words import from_words
from calkit.errors import FileFormatError
from calkit.io import load_predictions, open_container
from calkit.io.csv_dialect import Dialect
from calkit.io.csv_table import CsvTable
from calkit.io.text import line_blocks, open_bytes, plain_lines
from calkit.roles.families import group_columns

cells = st.text(st.sampled_from('ab,"\n\r\t é0'), max_size=6)
tables = st.lists(st.lists(cells, min_size=2, max_size=3), min_size=1, max_size=12)


def csv_bytes(rows):
    text = io.StringIO()
    csv.writer(text, lineterminator="\r\n").writerows(rows)
    return text.getvalue().encode()


@pytest.fixture
def tiny_blocks(monkeypatch):
    monkeypatch.setattr("calkit.io.text.TEXT_BLOCK_BYTES", 7)


@given(rows=tables, size=st.integers(1, 40))
def test_blocks_are_whole_records(tmp_path_factory, rows, size):
    # The standard library's reader of the whole text is the oracle.
    data = csv_bytes(rows)
    whole = [row for row in csv.reader(io.StringIO(data.decode(), newline=""), strict=True) if row]
    path = tmp_path_factory.mktemp("text") / "a.csv"
    path.write_bytes(data)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("calkit.io.text.TEXT_BLOCK_BYTES", size)
        records = Dialect(",").records
        blocks = list(line_blocks(path, records))
        parsed = []
        for block in blocks:
            assert block.row == len(parsed)
            assert data[block.offset : block.offset + len(block.data)] == block.data
            lines = io.StringIO(block.data.decode(), newline="")
            parsed += [row for row in csv.reader(lines, strict=True) if row]
            assert len(parsed) == block.row + block.rows
            again = list(line_blocks(path, records, offset=block.offset, row=block.row))
            assert again[0].row == block.row
            assert again[-1].row + again[-1].rows == len(whole)
        assert parsed == whole


@given(st.lists(st.sampled_from([b"", b"\r", b"x", b"xy\r", b" "]), max_size=20))
def test_lines_are_counted_without_blank_ones(lines):
    data = b"".join(line + b"\n" for line in lines)
    assert plain_lines(data) == (len(data), sum(line not in (b"", b"\r") for line in lines))


@given(data=st.binary(max_size=3000), size=st.integers(1, 500), cut=st.integers(0, 3000))
def test_packed_files_are_unpacked(tmp_path_factory, data, size, cut):
    folder = tmp_path_factory.mktemp("packed")
    for suffix, pack in {".gz": gzip.compress, ".xz": lzma.compress, ".bz2": bz2.compress}.items():
        path = folder / f"a{suffix}"
        # Several streams one after the other are one file.
        path.write_bytes(pack(data[:cut]) + pack(data[cut:]))
        with open_bytes(path) as stream:
            assert b"".join(iter(lambda: stream.read(size), b"")) == data


@pytest.mark.parametrize("pack", [gzip.compress, lzma.compress, bz2.compress])
def test_truncated_packed_text(tmp_path, pack):
    suffix = {gzip.compress: ".gz", lzma.compress: ".xz", bz2.compress: ".bz2"}[pack]
    data = pack(b"logit_0,logit_1,label\n" + b"1,2,0\n" * 500)
    for share in (0.3, 0.8):
        (tmp_path / f"a.csv{suffix}").write_bytes(data[: int(share * len(data))])
        with pytest.raises(FileFormatError, match=r"a\.csv.*not a readable \.csv"):
            load_predictions(tmp_path / f"a.csv{suffix}")


def test_pyarrow_and_the_standard_library_read_the_same(tmp_path, monkeypatch):
    pytest.importorskip("pyarrow")
    rng = np.random.default_rng(0)
    values = rng.standard_normal((400, 3)) * 10.0 ** rng.integers(-300, 300, (400, 3))
    values[5] = [np.inf, -np.inf, np.nan]
    lines = [f'{a!r},"{b!r}",{c!r}, {i % 3},w{i % 7},{i % 2 == 0}' for i, (a, b, c) in enumerate(values.tolist())]
    lines[9] = '+1.5,1e5,1_0,2,"a ""b""",true'
    path = tmp_path / "a.csv"
    path.write_text("logit_0,logit_1,logit_2,label,word,flag\n" + "\n".join(lines))
    monkeypatch.setattr("calkit.io.text.TEXT_BLOCK_BYTES", 2000)
    read = []
    for fast in (True, False):
        monkeypatch.setattr(CsvTable, "_has_arrow", lambda self, fast=fast: fast)
        read.append({name: item.read() for name, item in open_container(path).fields.items()})
    assert list(read[0]) == ["logit", "label", "word", "flag"]
    for name, column in read[0].items():
        assert column.dtype == read[1][name].dtype
        np.testing.assert_array_equal(column, read[1][name])
    # What Python's float() makes of each word is the oracle.
    expected = [[float(word.strip('"')) for word in line.split(",")[:3]] for line in lines]
    np.testing.assert_array_equal(read[0]["logit"], expected)


def test_words_of_a_column_are_text_if_one_is(tmp_path, tiny_blocks):
    (tmp_path / "a.csv").write_text("x,label,confidence\n01,1,0.5\n2,0,1\n3,cat,0.25\n")
    fields = open_container(tmp_path / "a.csv").fields
    assert fields["x"].read().tolist() == ["01", "2", "3"]
    assert fields["label"].read().tolist() == ["1", "0", "cat"]
    assert fields["confidence"].read().tolist() == [0.5, 1.0, 0.25]


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["1", " 2"], np.array([1, 2])),
        (["1", "2.5", "nan"], np.array([1, 2.5, np.nan])),
        (["True", "false"], np.array([True, False])),
        (["True", "1"], np.array(["True", "1"])),
        (["99999999999999999999", "1"], np.array([1e20, 1.0])),
        (["", "1"], np.array(["", "1"])),
    ],
)
def test_types_of_words(words, expected):
    found = from_words(words)
    assert found.dtype == expected.dtype
    np.testing.assert_array_equal(found, expected)


def test_columns_are_grouped_by_name():
    names = ["val_logit_1", "val_logit_0", "log_prob_A", "log_prob_B", "p", "score", "label", "probs-x"]
    assert group_columns(names) == {
        "val_logit": [("0", "val_logit_0"), ("1", "val_logit_1")],
        "log_prob": [("A", "log_prob_A"), ("B", "log_prob_B")],
        "p": [("", "p")],
        "score": [("", "score")],
        "label": [("", "label")],
        "probs-x": [("", "probs-x")],
    }


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"logit_0,logit_1,label\n1,2,0\n1,\xe9,0\n", r"line 3 is not UTF-8 text \(byte 0xe9\)"),
        ("logit_0,logit_1,label\n1,2,0\n".encode("utf-16"), "UTF-16; save it as UTF-8"),
        (b"logit_0,logit_1,label\r1,2,0\r", "carriage returns alone"),
        (b"logit_0;logit_1;label\n1,5;2.5;0\n", r"line 2 holds '1,5' in the column 'logit_0' where a number is needed"),
        (b'logit_0,logit_1,label\n1,"2"x,0\n', "line 2: ',' expected after"),
        (b"logit_0,logit_1,label\n1,,0\n", "line 2 holds '' in the column 'logit_1' where a number is needed"),
        # Lines are those of an editor: blank ones count, and so do those within quotes.
        (b"\xef\xbb\xbflogit_0,logit_1,label\n\n1,2,0\n\n1,x,0\n", "line 5 holds 'x'"),
        (b'id,logit_0,logit_1,label\n"a\nb",1,2,0\nc,x,2,0\n', "line 4 holds 'x'"),
        (b"\n1,2\n\n3\n", "line 4 has 1 columns, but the first has 2"),
        (gzip.compress(b"logit_0,logit_1,label\n1,2,0\n", mtime=0), r"is compressed: rename it to a\.csv\.gz"),
    ],
)
def test_odd_text(tmp_path, data, message):
    (tmp_path / "a.csv").write_bytes(data)
    with pytest.raises(FileFormatError, match=message):
        load_predictions(tmp_path / "a.csv")


@pytest.mark.parametrize("suffix", ["", ".gz"])
def test_lines_of_later_blocks(tmp_path, monkeypatch, suffix):
    monkeypatch.setattr("calkit.io.text.TEXT_BLOCK_BYTES", 64)
    text = "logit_0,logit_1,label\n" + "1.0,2.0,0\n" * 50 + "\n" + "1.0,x,0\n"
    data = text.encode()
    (tmp_path / f"a.csv{suffix}").write_bytes(gzip.compress(data, mtime=0) if suffix else data)
    with pytest.raises(FileFormatError, match="line 53 holds 'x'"):
        np.asarray(load_predictions(tmp_path / f"a.csv{suffix}").scores)


def test_line_of_broken_json(tmp_path):
    (tmp_path / "a.jsonl").write_text('{"confidence": 0.5, "correct": true}\n\n{"confidence": 0.5,\n')
    with pytest.raises(FileFormatError, match="line 3 is no valid JSON"):
        load_predictions(tmp_path / "a.jsonl")
