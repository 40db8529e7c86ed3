"""Predictions of every type and kind, written in every format, are the same predictions after reading."""

import itertools

import numpy as np
import pytest

import calkit
from calkit.cli.app import run
from calkit.errors import UsageError
from calkit.io import FORMATS, load_predictions, save_predictions
from calkit.io.formats import WritableFormat
from calkit.stats import UniformBins, summarize

SUFFIXES = [
    suffix
    for word in FORMATS
    if isinstance(FORMATS[word], WritableFormat)
    # One compression is as good as another.
    for suffix in FORMATS[word].suffixes
    if not suffix.endswith((".xz", ".bz2"))
]
TEXT = (".csv", ".tsv", ".txt")
METRICS = ["accuracy", "ece:n_bins=10", "mce:n_bins=10", "adaece", "nll", "brier"]


def scores(kind, dtype, n=60):
    """Scores of which many lie on edges of ten bins, and some are 0 and 1."""
    rng = np.random.default_rng(0)
    tenths = rng.multinomial(10, [0.2, 0.3, 0.5], n) / 10
    if kind == "logits":
        return (4 * rng.standard_normal((n, 3))).astype(dtype)
    return (tenths if kind == "probs" else tenths[:, 0]).astype(dtype)


def truth(kind, labels, n=60):
    """Labels and the names of the classes."""
    rng = np.random.default_rng(1)
    if kind in ("confidence", "one column"):
        return rng.integers(0, 2, n), None
    if labels == "soft":
        votes = rng.multinomial(4, np.ones(3) / 3, n)
        return votes / votes.sum(axis=1, keepdims=True), None
    return rng.integers(0, 3, n), ["ant", "bee", "0.50"] if labels == "names" else None


def made(kind, dtype, labels):
    y, names = truth(kind, labels)
    rng = np.random.default_rng(2)
    return calkit.Predictions(
        scores(kind, dtype),
        y,
        kind="probs" if kind == "one column" else kind,
        class_names=names,
        sample_weight=rng.random(60).astype(np.float32),
        columns={"id": np.array([f"{i:03d}" for i in range(60)]), "site": rng.integers(0, 4, 60)},
    )


CASES = [
    (kind, dtype, labels)
    for kind, dtype, labels in itertools.product(
        ["logits", "probs", "one column", "confidence"], ["float16", "float32", "float64"], ["numbers", "names", "soft"]
    )
    if labels == "numbers" or kind in ("logits", "probs")
]


@pytest.mark.parametrize("suffix", SUFFIXES)
@pytest.mark.parametrize(("kind", "dtype", "labels"), CASES)
@pytest.mark.filterwarnings("ignore:the columns id are no numbers")
def test_everything_is_as_it_was(suffix, kind, dtype, labels, tmp_path):
    if suffix.startswith((".parquet", ".pq")):
        pytest.importorskip("pyarrow")
    p = made(kind, dtype, labels)
    path = tmp_path / f"a{suffix}"
    save_predictions(p, path)
    again = load_predictions(path, columns="all", dtype=dtype if suffix.startswith(TEXT) else None)
    assert (again.kind, again.scores.dtype, again.n_classes) == (p.kind, np.dtype(dtype), p.n_classes)
    np.testing.assert_array_equal(again.scores[:], p.scores)
    for what in ("y_true", "votes", "sample_weight"):
        np.testing.assert_array_equal(getattr(again, what), getattr(p, what), what)
    assert again.class_names == p.class_names
    np.testing.assert_array_equal(again.columns["site"], p.columns["site"])
    if suffix != ".safetensors":
        assert again.columns["id"].tolist() == p.columns["id"].tolist()
    metrics = METRICS[:4] if kind == "confidence" else METRICS
    found, expected = (dict(calkit.evaluate(each, metrics)) for each in (again, p))
    assert found == expected


@pytest.mark.parametrize("suffix", [".csv", ".tsv.gz"])
@pytest.mark.parametrize("dtype", ["float16", "float32"])
def test_text_has_no_type_but_its_numbers_are_on_the_same_side_of_every_edge(suffix, dtype, tmp_path):
    p = made("probs", dtype, "numbers")
    save_predictions(p, tmp_path / f"a{suffix}")
    again = load_predictions(tmp_path / f"a{suffix}")
    # Tenths are the shortest text of what they become in any type.
    np.testing.assert_array_equal(again.scores, scores("probs", "float64"))
    statistics = [UniformBins(n_bins) for n_bins in (5, 10, 20)]
    found, expected = (summarize(each, statistics) for each in (again, p))
    for statistic in statistics:
        np.testing.assert_array_equal(found[statistic].count, expected[statistic].count)


def test_every_half_is_read_back_from_text(tmp_path):
    every = np.arange(1 << 16, dtype=np.uint16).view(np.float16)
    every = every[np.isfinite(every)]
    logits = np.stack([every, np.zeros_like(every)], axis=1)
    save_predictions(calkit.Predictions(logits, np.zeros(len(every), int), kind="logits"), tmp_path / "a.csv")
    again = np.asarray(load_predictions(tmp_path / "a.csv", dtype="float16").scores)
    np.testing.assert_array_equal(again.view(np.uint16), logits.view(np.uint16))


def test_options_of_numpy_do_not_shorten_numbers(tmp_path):
    value = np.float32(0.123456789)
    p = calkit.Predictions(np.array([[value, 1 - value]]), [0], kind="probs")
    with np.printoptions(legacy="1.13", precision=2):
        save_predictions(p, tmp_path / "a.csv")
    assert load_predictions(tmp_path / "a.csv", dtype="float32").scores[0, 0] == value


def test_the_type_is_said_on_the_command_line(tmp_path, capsys):
    p = made("probs", "float16", "numbers")
    save_predictions(p, tmp_path / "a.csv")
    run(["convert", str(tmp_path / "a.csv"), str(tmp_path / "b.npz"), "--dtype", "float16"])
    capsys.readouterr()
    again = load_predictions(tmp_path / "b.npz")
    assert again.scores.dtype == np.float16
    np.testing.assert_array_equal(again.scores, p.scores)
    with pytest.raises(UsageError, match=r"dtype \(--dtype\) must be one of float16, float32, float64, but is 'int8'"):
        load_predictions(tmp_path / "a.csv", dtype="int8")


def test_percentages_of_half_precision(tmp_path):
    (tmp_path / "a.csv").write_text("prob_a,prob_b,label\n30,70,a\n99.9,0.1,b\n")
    p = load_predictions(tmp_path / "a.csv", percent=True, dtype="float16")
    np.testing.assert_array_equal(p.scores, np.array([[0.3, 0.7], [0.999, 0.001]], np.float16))
