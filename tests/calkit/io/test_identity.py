"""What is written is read back as what it was, or is not written: for every format, whatever the names and values."""

import warnings

import numpy as np
import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

import calkit
from calkit.errors import CalkitError, UsageError
from calkit.io import FORMATS, load_predictions, save_predictions
from calkit.io.formats import WritableFormat

SUFFIXES = [FORMATS[word].suffixes[0] for word in FORMATS if isinstance(FORMATS[word], WritableFormat)]

#: What has gone wrong before: blanks around words, line ends, separators, quotes, what looks like a number or a number.
WORDS = ["", " ", "a", "a ", " a", "\r", "\n", "a\nb", "\t", ",", ";", '"', "'", "1", "01", "1.0", "-1", "nan", "inf"]
WORDS += ["true", "False", "None", "#", "é", "\u2028", "\x00", "max", "label", "0", "total", "a_b", "a-b", "logits_1"]

words = st.sampled_from(WORDS) | st.text(max_size=4)
numbers = st.integers(-(2**40), 2**40) | st.sampled_from([0, 1, 2, 3])
names = st.one_of(
    st.none(),
    st.lists(words, min_size=2, max_size=4, unique=True),
    st.lists(numbers, min_size=2, max_size=4, unique=True),
    st.lists(words | numbers, min_size=2, max_size=4, unique_by=str),
)


@st.composite
def predictions(draw):
    class_names = draw(names)
    k = draw(st.integers(2, 4)) if class_names is None else len(class_names)
    n = draw(st.integers(1, 5))
    kind = draw(st.sampled_from(["logits", "probs", "confidence"]))
    one_column = k == 2 and draw(st.booleans())
    seed = np.random.default_rng(draw(st.integers(0, 99)))
    probs = seed.dirichlet(np.ones(k), n).astype(draw(st.sampled_from([np.float64, np.float32])))
    if kind == "confidence":
        scores, y, class_names = probs.max(axis=1), seed.integers(0, 2, n), None
    else:
        scores = np.log(probs) if kind == "logits" else probs
        scores, y = scores[:, 1] if one_column else scores, seed.integers(0, k, n)
    if draw(st.booleans()) and kind == "logits" and scores.ndim == 2:
        scores[0, 0] = -np.inf
    weight = draw(st.none() | hnp.arrays(np.float64, n, elements=st.floats(0.0, 1e6, exclude_min=True)))
    labels = None if draw(st.integers(0, 3)) == 0 and kind != "confidence" else y
    if labels is not None and class_names is not None:
        labels = np.array(class_names, dtype=object)[y]
    try:
        return calkit.Predictions(scores, labels, kind=kind, sample_weight=weight, class_names=class_names)
    except CalkitError:
        # Names that are one label, as 1 and "1".
        assume(False)


def same(found, expected):
    assert (found.kind, found.n_samples, found.n_classes) == (expected.kind, expected.n_samples, expected.n_classes)
    np.testing.assert_array_equal(np.asarray(found.scores), expected.scores)
    assert np.asarray(found.scores).shape == expected.scores.shape
    if expected.y_true is None:
        assert found.y_true is None
    else:
        np.testing.assert_array_equal(found.y_true, expected.y_true)
    if expected.sample_weight is None:
        assert found.sample_weight is None
    else:
        np.testing.assert_array_equal(found.sample_weight, expected.sample_weight)
    if expected.class_names is None:
        assert found.class_names is None
        return
    if found.class_names is None:
        # Classes without names are 0, 1, … K-1, and the text "1" is the same label as the number.
        assert [str(name) for name in expected.class_names] == [str(k) for k in range(expected.n_classes)]
        return
    assert list(map(str, found.class_names)) == list(map(str, expected.class_names))
    # Numbers stay numbers; a text of digits may become the number, which is the same label.
    for after, before in zip(found.class_names, expected.class_names, strict=True):
        assert isinstance(after, str) or not isinstance(before, str) or str(after) == before
        assert not (isinstance(after, str) and not isinstance(before, str))


@pytest.mark.parametrize("suffix", SUFFIXES)
@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.filter_too_much, HealthCheck.too_slow])
@given(p=predictions())
def test_write_and_read_is_an_identity_or_refused(suffix, p, tmp_path_factory):
    path = tmp_path_factory.mktemp("written") / f"a{suffix}"
    try:
        save_predictions(p, path)
    except CalkitError as error:
        assert p.class_names is not None, f"nothing odd about {p}: {error}"  # noqa: PT017
        assert str(error).isprintable()  # noqa: PT017
        assert not path.exists()
        return
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        # Of text the type is not known.
        found = load_predictions(path, labelled=p.y_true is not None, dtype=p.scores.dtype.name)
    same(found, p)


@pytest.mark.parametrize("suffix", SUFFIXES)
@pytest.mark.parametrize(
    "class_names", [["cat", "dog", "emu"], [0, 1, 2], [1, 2, 3], [-1, 0, 1], ["1", "2", "3"], ["a b", "c,d", 'é"']]
)
def test_usual_names_are_written(suffix, class_names, tmp_path):
    y = np.array(class_names, dtype=object)[[0, 2, 1, 1]]
    p = calkit.Predictions(np.eye(3)[[0, 1, 1, 2]] * 2, y, kind="logits", class_names=class_names)
    save_predictions(p, tmp_path / f"a{suffix}")
    same(load_predictions(tmp_path / f"a{suffix}"), p)


@pytest.mark.parametrize("class_names", [["", "b"], ["a", "a "], ["\r", "b"]])
def test_the_remedy_of_a_refusal(class_names, tmp_path):
    p = calkit.Predictions(np.eye(2), [0, 1], kind="logits", class_names=class_names)
    with pytest.raises(UsageError, match=r"cannot be written as \.csv and read back.*or write \.npz"):
        save_predictions(p, tmp_path / "a.csv")
    assert not list(tmp_path.iterdir())
    save_predictions(p.replace(class_names=["a", "b"]), tmp_path / "a.csv")
    if class_names == ["a", "a "]:
        return
    save_predictions(p, tmp_path / "a.npz")
    same(load_predictions(tmp_path / "a.npz"), p)


@pytest.mark.parametrize("suffix", SUFFIXES)
@pytest.mark.parametrize("k", [2, 3, 10])
def test_votes_keep_their_last_bit(suffix, k, tmp_path):
    random = np.random.default_rng(k)
    votes = random.integers(0, 50, (500, k)) + np.eye(k, dtype=int)[0]
    p = calkit.Predictions(random.normal(size=(500, k)), votes, kind="logits")
    save_predictions(p, tmp_path / f"a{suffix}")
    np.testing.assert_array_equal(load_predictions(tmp_path / f"a{suffix}").votes, p.votes)
