"""Sources behave as the arrays they stand for, whatever is asked of them in whatever order."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from calkit.containers.sources import ConcatSource, StreamSource, sliced
from calkit.errors import FileFormatError
from calkit.io.bfloat16 import from_bits
from calkit.lazy import Converted

N = 37
ROWS = np.arange(N * 3.0).reshape(N, 3)


class Opened:
    """A stream of blocks that counts how often it is opened and how many blocks it gave."""

    def __init__(self, lengths, starts):
        self.lengths, self.starts, self.opened, self.given = lengths, starts, 0, 0

    def __call__(self, start):
        assert start in self.starts
        self.opened += 1
        ends = np.cumsum(self.lengths)
        for first, end in zip([0, *ends[:-1]], ends, strict=True):
            if end > start or first == end == start:
                self.given += 1
                yield ROWS[max(first, start) : end].copy()


@st.composite
def streams(draw):
    # Cuts may coincide: then a block is empty.
    ends = [0, *sorted(draw(st.lists(st.integers(0, N), max_size=8))), N]
    starts = {0, *draw(st.lists(st.sampled_from(ends), max_size=4))} - {N}
    return Opened(np.diff(ends).tolist(), sorted(starts))


keys = st.one_of(
    st.slices(N),
    st.lists(st.integers(-N, N - 1), max_size=20).map(lambda numbers: np.array(numbers, dtype=int)),
    st.sets(st.integers(0, N - 1)).map(lambda chosen: np.isin(np.arange(N), list(chosen))),
    st.integers(-N, N - 1),
    st.tuples(st.slices(N), st.just(0)),
)


@given(stream=streams(), asked=st.lists(keys, max_size=8))
def test_a_stream_is_sliced_like_an_array(stream, asked):
    source = StreamSource("file", ".x", ROWS.shape, ROWS.dtype, stream, stream.starts)
    for key in asked:
        np.testing.assert_array_equal(source[key], ROWS[key])
    np.testing.assert_array_equal(np.asarray(source), ROWS)
    assert (len(source), source.ndim, source.nbytes) == (N, 2, ROWS.nbytes)


@given(cuts=st.lists(st.integers(0, N), max_size=5).map(sorted), asked=st.lists(keys, max_size=8))
def test_parts_are_sliced_like_the_whole(cuts, asked):
    pieces = np.split(ROWS, cuts)
    source = ConcatSource(ROWS.shape, ROWS.dtype, [(len(p), lambda p=p: p) for p in pieces])
    converted = Converted(source, lambda rows: -rows, ROWS.shape, ROWS.dtype)
    for key in asked:
        np.testing.assert_array_equal(source[key], ROWS[key])
        np.testing.assert_array_equal(converted[key], -ROWS[key])


def test_a_pass_forwards_decodes_each_block_once():
    stream = Opened([5] * 7 + [2], [0])
    source = StreamSource("file", ".x", ROWS.shape, ROWS.dtype, stream)
    for start in range(0, N, 2):
        source[start : start + 2]
    assert (stream.opened, stream.given) == (1, 8)
    source[0:1]
    assert stream.opened == 2


def test_seeking_goes_to_the_nearest_start():
    stream = Opened([5] * 7 + [2], [0, 20])
    source = StreamSource("file", ".x", ROWS.shape, ROWS.dtype, stream, stream.starts)
    np.testing.assert_array_equal(source[26:28], ROWS[26:28])
    assert (stream.opened, stream.given) == (1, 2)


def test_what_is_given_out_cannot_be_changed():
    source = sliced("file", ".x", ROWS.shape, ROWS.dtype, lambda a, b: ROWS[a:b].copy(), 10)
    with pytest.raises(ValueError, match="read-only"):
        source[2:4][0, 0] = 1.0


@pytest.mark.parametrize(
    ("blocks", "message"),
    [
        ([ROWS[:30]], "file ends after 30 of 37 rows: it is truncated"),
        ([ROWS, ROWS[:1]], None),
        ([ROWS[:30], ROWS[:10]], "holds other data than announced"),
        ([ROWS[:, :2]], "holds other data than announced"),
    ],
)
def test_a_stream_that_gives_something_else(blocks, message):
    source = StreamSource("file", ".x", ROWS.shape, ROWS.dtype, lambda _: iter([b.copy() for b in blocks]))
    if message is None:
        np.testing.assert_array_equal(source[:], ROWS)
    else:
        for _ in range(2):
            with pytest.raises(FileFormatError, match=message):
                source[:]


def test_errors_of_libraries_name_the_file_and_the_next_read_starts_over():
    broken = [True]

    def open_at(_):
        yield ROWS[:5].copy()
        if broken:
            broken.clear()
            raise KeyError("oops")
        yield ROWS[5:].copy()

    source = StreamSource("run.x:logits", ".x", ROWS.shape, ROWS.dtype, open_at)
    with pytest.raises(FileFormatError, match=r"run\.x:logits is not a readable \.x file: 'oops'\. Is it complete"):
        source[3:8]
    np.testing.assert_array_equal(source[3:8], ROWS[3:8])


def test_every_bfloat16_is_the_float32_that_torch_makes_of_it():
    torch = pytest.importorskip("torch")
    bits = np.arange(2**16, dtype=np.uint16)
    expected = torch.from_numpy(bits.view(np.int16)).view(torch.bfloat16).float().numpy()
    np.testing.assert_array_equal(from_bits(bits).view(np.uint32), expected.view(np.uint32))
