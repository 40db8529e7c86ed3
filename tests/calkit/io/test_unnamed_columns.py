"""Columns that are named like those of the classes, beside text classes: classes, left out, or one clear question.

The cells are generated: kind of the scores, place of the extra column, spelling of the labels, format. What is right is
computed by plain loops over the classes alone.
"""

import itertools
import math
import warnings

import numpy as np
import pandas as pd
import pytest

import calkit
from calkit import load_predictions
from calkit.errors import CalibrationWarning, InputError, UsageError

CLASSES = ["cat", "dog", "emu"]
RNG = np.random.default_rng(3)
LOGITS = RNG.normal(0, 2, (30, 3))
PROBS = np.exp(LOGITS) / np.exp(LOGITS).sum(axis=1, keepdims=True)
TRUTH = np.concatenate([np.arange(3), RNG.integers(0, 3, 27)])
SCORES = {"logit": LOGITS, "prob": PROBS, "logprob": np.log(PROBS), "score": PROBS}
# Larger than any logit, so that a class of this score would change accuracy and likelihood.
EXTRA = RNG.uniform(5, 9, 30)

LABELS = {
    "text": ([CLASSES[k] for k in TRUTH], {}),
    "places": (TRUTH.tolist(), {}),
    "from 1": ((TRUTH + 1).tolist(), {"labels_from": 1}),
}
WRITERS = {
    "csv": lambda frame, path: frame.to_csv(path, index=False),
    "parquet": lambda frame, path: frame.to_parquet(path),
    "npz": lambda frame, path: np.savez(path, **{name: np.array(frame[name].tolist()) for name in frame}),
}


def right(scores, truth):
    """Return the NLL of logits by a loop."""
    return float(np.mean([math.log(sum(map(math.exp, row))) - row[k] for row, k in zip(scores, truth, strict=True)]))


def table(word, labels, extra, place, values=EXTRA):
    columns = [(f"{word}_{name}", SCORES[word][:, k]) for k, name in enumerate(CLASSES)]
    columns.insert(place, (f"{word}_{extra}", values))
    return pd.DataFrame({**dict(columns), "label": labels})


def write(tmp_path, frame, writer="csv"):
    path = tmp_path / f"a.{writer}"
    WRITERS[writer](frame, path)
    return path


def nll(path, **options):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", CalibrationWarning)
        p = load_predictions(path, **options)
    return p, calkit.evaluate(p, ["nll"], floors=False)["nll"]


@pytest.mark.parametrize("writer", WRITERS)
@pytest.mark.parametrize("word", SCORES)
@pytest.mark.parametrize("place", [0, 1, 3])
def test_an_extra_column_is_never_a_class_in_silence(tmp_path, writer, word, place):
    for (spelling, (labels, options)), extra in itertools.product(LABELS.items(), ["foo", "calibrated"]):
        if spelling != "text" and place < 3:
            # Places count the columns that there are.
            continue
        path = write(tmp_path, table(word, labels, extra, place), writer)
        kind = {"kind": "probs"} if word == "score" else {}
        expected = right(LOGITS, TRUTH)
        if word == "logit":
            with pytest.raises(UsageError, match=rf"no label names the columns 'logit_{extra}'.*--class-names '\*'"):
                load_predictions(path, **options)
        else:
            # Shares of the classes sum to 1 without it.
            p, found = nll(path, **options, **kind)
            assert (p.class_names, p.meta["left_out"]) == (tuple(CLASSES), (f"{word}_{extra}",))
            assert found == pytest.approx(expected, rel=1e-9)
        # The remedies work.
        assert nll(path, **options, **kind, class_names=CLASSES)[1] == pytest.approx(expected, rel=1e-9)
        columns = ",".join(f"{word}_{name}" for name in CLASSES)
        assert nll(path, scores=columns, **options, **kind)[1] == pytest.approx(expected, rel=1e-9)
        if word == "logit":
            p, found = nll(path, class_names="*", **options)
            every = np.insert(LOGITS, place, EXTRA, axis=1)
            assert p.n_classes == 4
            assert found == pytest.approx(right(every, TRUTH + (np.array(TRUTH) >= place)), rel=1e-9)


@pytest.mark.parametrize("word", SCORES)
def test_a_class_without_labels_is_one_where_rows_say_so(tmp_path, word):
    """No label is called emu; probabilities sum to 1 with it."""
    rows = TRUTH != 2
    for values in ([CLASSES[k] for k in TRUTH[rows]], TRUTH[rows].tolist()):
        frame = pd.DataFrame({f"{word}_{name}": SCORES[word][rows, k] for k, name in enumerate(CLASSES)})
        path = write(tmp_path, frame.assign(label=values))
        options = {"kind": "probs"} if word == "score" else {}
        if word == "logit":
            with pytest.raises(UsageError, match="no label names the columns 'logit_emu'"):
                load_predictions(path)
            options = {"class_names": "*"}
        p, found = nll(path, **options)
        assert p.class_names == tuple(CLASSES)
        assert found == pytest.approx(right(LOGITS[rows], TRUTH[rows]), rel=1e-9)


def test_an_answer_names_a_class(tmp_path):
    frame = table("logit", LABELS["text"][0], "foo", 3).assign(pred="foo")
    assert nll(write(tmp_path, frame))[0].n_classes == 4


def test_percentages_and_rounding(tmp_path):
    frame = table("prob", LABELS["text"][0], "foo", 3)
    rounded = frame.round(3)
    assert nll(write(tmp_path, rounded))[0].class_names == tuple(CLASSES)
    percent = frame.assign(**{f"prob_{name}": 100 * frame[f"prob_{name}"] for name in CLASSES})
    assert nll(write(tmp_path, percent), percent=True)[1] == pytest.approx(right(LOGITS, TRUTH), rel=1e-9)
    # Neither sums to 1: nothing decides.
    with pytest.raises(UsageError, match="no label names the columns 'prob_foo'"):
        load_predictions(write(tmp_path, frame.assign(prob_cat=0.5)))


@pytest.mark.parametrize("extra", ["max", "entropy", "margin", "Mean"])
def test_frames_too(extra):
    frame = table("logit", LABELS["text"][0], extra, 3).drop(columns="label")
    labels = LABELS["text"][0]
    with pytest.raises(InputError, match=rf"\['logit_{extra}'\] of the scores are not named as those of the classes"):
        calkit.nll(labels, frame, from_logits=True)
    found = calkit.nll(labels, frame, from_logits=True, class_names=CLASSES)
    assert found == pytest.approx(right(LOGITS, TRUTH), rel=1e-12)
    numbered = frame.rename(columns={f"logit_{name}": f"logit_{k}" for k, name in enumerate(CLASSES)})
    with pytest.raises(InputError, match="leave them out, or choose columns with class_names"):
        calkit.nll(TRUTH, numbered, from_logits=True)
    assert calkit.nll(TRUTH, numbered, from_logits=True, class_names=[0, 1, 2]) == pytest.approx(found, rel=1e-12)


def test_what_is_written_says_so_if_it_cannot_be_read_back(tmp_path):
    """A class without labels: a table of logits would be asked about, and other formats name their classes."""
    p = calkit.Predictions(LOGITS[:2], ["cat", "dog"], kind="logits", class_names=CLASSES)
    with pytest.raises(UsageError, match=r"no label names the columns 'logits_emu'.*write \.npz"):
        calkit.save_predictions(p, tmp_path / "a.csv")
    calkit.save_predictions(p, tmp_path / "a.npz")
    assert load_predictions(tmp_path / "a.npz").class_names == tuple(CLASSES)
