"""One column of scores, of files and frames: whatever it is called, it is judged as the forecast of that class.

The cells are generated over the name of the column, the spelling of the labels and what the user says; what is right is
that P(y = 1) is judged against y = 1, computed by a plain formula.
"""

import itertools
import json

import numpy as np
import pandas as pd
import polars as pl
import pytest

import calkit
from calkit import load_predictions
from calkit.errors import CalkitError, InputError, UsageError

RNG = np.random.default_rng(4)
P = RNG.uniform(0.02, 0.98, 40)
Y = (RNG.random(40) < P).astype(int)
NLL = float(-np.mean(np.where(Y == 1, np.log(P), np.log(1 - P))))

#: What columns are called, and which class they are the forecast of by that name: 0 is "no", None says nothing.
COLUMNS = {
    "prob": None,
    "y_prob": None,
    "prob_1": 1,
    "p1": 1,
    "prob_class_1": 1,
    "prob_yes": "yes",
    "prob_True": True,
    "prob_0": 0,
    "p0": 0,
    "prob_class0": 0,
    "prob_no": "no",
    "no_prob": "no",
    "prob_False": False,
    "prob_negative": "negative",
    "neg_prob": "neg",
}
FORECAST_OF_NO = {0, "no", "negative", "neg"}
LABELS = {"ints": (0, 1), "floats": (0.0, 1.0), "text": ("no", "yes"), "booleans": (False, True), "signs": (-1, 1)}
SAID = ({}, {"class_names": ["no", "yes"]}, {"class_names": ["yes", "no"]}, {"positive": "yes"}, {"positive": 1})


def of_no(named):
    return named in FORECAST_OF_NO and named is not True


@pytest.mark.parametrize("column", COLUMNS)
@pytest.mark.parametrize("labels", LABELS)
def test_files_are_right_or_refused(tmp_path, column, labels):
    named = COLUMNS[column]
    scores = 1 - P if of_no(named) else P
    path = tmp_path / "a.csv"
    pd.DataFrame({column: scores, "label": np.array(LABELS[labels])[Y]}).to_csv(path, index=False)
    refused = []
    for said in SAID:
        if said.get("class_names") == ["yes", "no"] and (labels != "text" or named not in ("yes", "no")):
            # The user says that the label 0 is called yes, or that class 1 is.
            continue
        if "positive" in said and of_no(named):
            # The user says what the name of the column denies.
            continue
        try:
            p = load_predictions(path, **said)
        except CalkitError:
            refused.append(said)
            continue
        assert calkit.evaluate(p, ["nll"], floors=False)["nll"] == pytest.approx(NLL, rel=1e-9), said
    # What names the event, or needs no name, is read unasked.
    if labels in ("ints", "floats", "booleans") and named in (None, 0, 1):
        assert {} not in refused
    if labels == "text" and named in ("yes", "no"):
        assert {} not in refused
        assert SAID[1] not in refused


@pytest.mark.parametrize("column", [column for column in COLUMNS if of_no(COLUMNS[column])])
@pytest.mark.parametrize("make", [pd.Series, "pandas", "polars", pl.Series])
def test_frames_and_series_named_after_the_first_class_are_refused(column, make):
    hold = {
        "pandas": lambda: pd.DataFrame({column: 1 - P}),
        "polars": lambda: pl.DataFrame({column: 1 - P}),
        pd.Series: lambda: pd.Series(1 - P, name=column),
        pl.Series: lambda: pl.Series(column, 1 - P),
    }[make]
    with pytest.raises(InputError, match="it is named .*pass 1 - p, or the columns of both classes"):
        calkit.nll(Y, hold())
    with pytest.raises(InputError, match="it is named .*pass 1 - p, or the columns of both classes"):
        calkit.TemperatureScaling().fit(hold(), Y)
    if COLUMNS[column] in (0, "no"):
        with pytest.raises(InputError, match="the forecast of class 'yes', but it is named"):
            calkit.nll(np.array(["no", "yes"])[Y], hold(), class_names=["no", "yes"])


@pytest.mark.parametrize("column", [column for column in COLUMNS if not of_no(COLUMNS[column])])
def test_other_series_are_taken(column):
    if column == "prob_False":
        return
    assert calkit.nll(Y, pd.Series(P, name=column)) == pytest.approx(NLL, rel=1e-12)
    assert calkit.nll(Y, pd.DataFrame({column: P})) == pytest.approx(NLL, rel=1e-12)


@pytest.mark.parametrize("column", ["logprob", "test_log_prob", "logprob_yes", "log_proba", "Log-Likelihood"])
@pytest.mark.parametrize("truth", ["label", "correct"])
def test_the_logarithm_of_a_probability_is_no_logit(tmp_path, column, truth):
    # log(.8) as a logit would be a probability of .44.
    pd.DataFrame({column: np.log(P), truth: Y}).to_csv(tmp_path / "a.csv", index=False)
    with pytest.raises(UsageError, match="log-probabilities, which are no logits.*exponentials.*--kind logits"):
        load_predictions(tmp_path / "a.csv")
    # What the message proposes.
    for name in ("prob", "confidence"):
        known = {"prob": "label", "confidence": "correct"}[name]
        pd.DataFrame({name: P, known: Y}).to_csv(tmp_path / "b.csv", index=False)
        found = calkit.evaluate(load_predictions(tmp_path / "b.csv"), ["ece:n_bins=1"])
        assert found["ece:n_bins=1"] == pytest.approx(abs(np.mean(P - Y)), abs=1e-12)
    pd.DataFrame({column: np.log(P / (1 - P)), "label": np.where(Y, "yes", "no")}).to_csv(
        tmp_path / "c.csv", index=False
    )
    found = load_predictions(tmp_path / "c.csv", kind="logits", positive="yes")
    assert calkit.evaluate(found, ["nll"])["nll"] == pytest.approx(NLL, abs=1e-12)


@pytest.mark.parametrize("name", ["token_logprobs", "logprobs/token_logprobs", "cumulative_logprob", "logprobs_tokens"])
def test_log_probabilities_of_pieces_of_text_are_no_scores(tmp_path, name):
    # As OpenAI's completions and vLLM call them: one number for each token written, not for each option.
    *path, key = name.split("/")
    record = {key: -0.2 if key == "cumulative_logprob" else [-0.2, -0.3]}
    lines = [json.dumps({"answer": y, **({path[0]: record} if path else record)}) for y in (0, 1, 1)]
    (tmp_path / "a.jsonl").write_text("\n".join(lines))
    with pytest.raises(UsageError, match="no array is named like scores"):
        load_predictions(tmp_path / "a.jsonl")


def test_what_the_user_says_against_the_name(tmp_path):
    path = tmp_path / "a.csv"
    pd.DataFrame({"prob": 1 - P, "label": np.array(["no", "yes"])[Y]}).to_csv(path, index=False)
    p = load_predictions(path, class_names="no,yes", positive="no")
    assert p.class_names == ("yes", "no")
    assert calkit.evaluate(p, ["nll"], floors=False)["nll"] == pytest.approx(NLL, rel=1e-9)
    with pytest.raises(UsageError, match="positive='maybe' is none of the classes, which are 'no', 'yes'"):
        load_predictions(path, class_names="no,yes", positive="maybe")


class TestOtherColumns:
    """What stands beside the scores in tables as people have them."""

    TABLE = pd.DataFrame({f"prob_{name}": [0.7, 0.2, 0.4] for name in "a"}).assign(
        prob_b=[0.3, 0.8, 0.6], label=[*"aba"]
    )

    @pytest.mark.parametrize("name", ["body_weight", "weight_kg", "class_weight", "sampling_weight", "Weight (kg)"])
    def test_weights_of_other_things_are_none(self, tmp_path, name):
        self.TABLE.assign(**{name: [70.0, 1.0, 900.0]}).to_csv(tmp_path / "a.csv", index=False)
        p = load_predictions(tmp_path / "a.csv")
        assert p.sample_weight is None
        assert load_predictions(tmp_path / "a.csv", sample_weight=name).sample_weight.tolist() == [70, 1, 900]

    @pytest.mark.parametrize("name", ["weight", "sample_weight", "Weights", "case_weights"])
    def test_weights_are(self, tmp_path, name):
        self.TABLE.assign(**{name: [7.0, 1.0, 9.0]}).to_csv(tmp_path / "a.csv", index=False)
        assert load_predictions(tmp_path / "a.csv").sample_weight.tolist() == [7, 1, 9]

    @pytest.mark.parametrize("first", [True, False])
    def test_a_column_called_like_the_beginning_of_the_others(self, tmp_path, first):
        frame = self.TABLE.assign(pred=[*"aba"]).rename(columns={"prob_a": "pred_a", "prob_b": "pred_b"})
        frame = frame[sorted(frame, reverse=not first)]
        frame.to_csv(tmp_path / "a.csv", index=False)
        p = load_predictions(tmp_path / "a.csv", kind="probs")
        # By hand: .7, .8 right, .6 wrong.
        assert calkit.evaluate(p, ["accuracy"], floors=False)["accuracy"] == pytest.approx(2 / 3)
        frame = self.TABLE.assign(prob=[0.7, 0.8, 0.6])
        frame.to_csv(tmp_path / "a.csv", index=False)
        with pytest.raises(UsageError, match=r"could all be the scores.*--scores NAME"):
            load_predictions(tmp_path / "a.csv")
        for scores in ("prob_*", "prob_a,prob_b"):
            assert load_predictions(tmp_path / "a.csv", scores=scores).n_classes == 2

    @pytest.mark.parametrize("order", [slice(None), slice(None, None, -1)])
    def test_numbers_filled_up_with_zeros(self, tmp_path, order):
        k = 12
        probs = RNG.dirichlet(np.ones(k), 30)
        y = np.concatenate([np.arange(k), RNG.integers(0, k, 18)])
        expected = -np.log(probs[np.arange(30), y]).mean()
        columns = dict([(f"prob_{i:02d}", probs[:, i]) for i in range(k)][order])
        for labels in (y, y.astype(float), [f"{i:02d}" for i in y]):
            pd.DataFrame({**columns, "label": labels}).to_csv(tmp_path / "a.csv", index=False)
            p = load_predictions(tmp_path / "a.csv")
            assert (p.n_classes, p.meta.get("left_out")) == (k, None)
            assert calkit.evaluate(p, ["nll"], floors=False)["nll"] == pytest.approx(expected, rel=1e-9)


class TestMissingLabels:
    PROBS = ((0.7, 0.3), (0.2, 0.8), (0.4, 0.6))

    @pytest.mark.parametrize("writer", ["csv", "parquet", "jsonl", "json"])
    @pytest.mark.parametrize(
        "labels", [["a", None, "a"], [0, None, 0], [0.0, None, 0.0], [False, None, False]], ids=str
    )
    def test_are_left_out_if_asked(self, tmp_path, writer, labels):
        names = "ab" if "a" in labels else "01"
        path = tmp_path / f"a.{writer}"
        frame = pd.DataFrame(self.PROBS, columns=[f"prob_{name}" for name in names])
        frame = frame.assign(label=pd.Series(labels).convert_dtypes() if writer == "parquet" else labels)
        if writer in ("csv", "parquet"):
            frame.to_csv(path, index=False) if writer == "csv" else frame.to_parquet(path)
        else:
            records = [
                {"probs": dict(zip(names, row, strict=True)), "label": label}
                for row, label in zip(self.PROBS, labels, strict=True)
            ]
            path.write_text(json.dumps(records) if writer == "json" else "\n".join(map(json.dumps, records)))
        with pytest.raises(CalkitError, match="the label of row 1 is missing.*--ignore-label nan"):
            load_predictions(path)
        p = load_predictions(path, ignore_label=float("nan"))
        # By hand: of the rows 0 and 2, the first is right.
        assert calkit.evaluate(p, ["accuracy"], floors=False)["accuracy"] == 0.5

    def test_places_of_options_that_are_called_by_numbers(self, tmp_path):
        record = {"logits": [1.0, 0.0], "options": ["1", "2"]}
        path = tmp_path / "a.jsonl"
        for target in (1, "1"):
            path.write_text(json.dumps({**record, "target": target}))
            with pytest.raises(CalkitError, match="could be several of its options.*under the key 'gold_index'"):
                load_predictions(path)
        path.write_text(json.dumps({**record, "gold_index": 1}))
        assert load_predictions(path).y_true.tolist() == [1]


@pytest.mark.parametrize(("axis", "turn"), list(itertools.product((0, -2, 1, -1), [True, False])))
def test_a_matrix_with_its_classes_in_the_first_axis(tmp_path, axis, turn):
    probs, y = RNG.dirichlet(np.ones(3), 20), RNG.integers(0, 3, 20)
    scores = probs.T if axis in (0, -2) else probs
    labels = np.eye(3)[y] if turn else y
    np.savez(tmp_path / "a.npz", probs=scores, labels=labels)
    p = load_predictions(tmp_path / "a.npz", class_axis=axis)
    expected = -np.log(probs[np.arange(20), y]).mean()
    assert calkit.evaluate(p, ["nll"], floors=False)["nll"] == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize("n", [3, 9, 12])
def test_digits_as_text_have_no_order_of_their_own(n):
    """Of ten classes or more, text and numbers are in another order; a frame says which."""
    y = np.concatenate([np.arange(n), RNG.integers(0, n, 60 - n)])
    z = RNG.normal(0, 1, (60, n)) + 1.5 * np.eye(n)[y]
    words = np.array([str(i + 1) for i in range(n)])
    expected = calkit.TemperatureScaling().fit(pd.DataFrame(z, columns=words), words[y]).temperature_
    assert expected == pytest.approx(calkit.TemperatureScaling().fit(z, y + 1).temperature_, rel=1e-12)
    if n < 10:
        assert calkit.TemperatureScaling().fit(z, words[y]).temperature_ == pytest.approx(expected, rel=1e-12)
        return
    with pytest.raises(InputError, match=r"order is open: 1, 10, 11, 12, .*columns=classifier\.classes_"):
        calkit.TemperatureScaling().fit(z, words[y])


@pytest.mark.parametrize(("yes", "no"), [("yes", "no"), ("pos", "neg"), ("Positive", "Negative"), ("spam", "not")])
def test_two_columns_whose_names_deny_the_order_of_numbers(tmp_path, yes, no):
    columns = {f"prob_{yes}": P, f"prob_{no}": 1 - P}
    path = tmp_path / "a.csv"
    for labels in (Y, Y.astype(float)):
        pd.DataFrame({**columns, "label": labels}).to_csv(path, index=False)
        with pytest.raises(UsageError, match=f"Name the classes from 0 on.*--class-names {no},{yes}"):
            load_predictions(path)
        p = load_predictions(path, class_names=f"{no},{yes}")
        assert calkit.evaluate(p, ["nll"], floors=False)["nll"] == pytest.approx(NLL, rel=1e-9)
        with pytest.raises(InputError, match="Name the classes from 0 on"):
            calkit.nll(labels, pd.DataFrame(columns))
        assert calkit.nll(labels, pd.DataFrame(columns), class_names=[no, yes]) == pytest.approx(NLL, rel=1e-12)
    words = np.array([no, yes])[Y]
    pd.DataFrame({**columns, "label": words}).to_csv(path, index=False)
    assert calkit.evaluate(load_predictions(path), ["nll"], floors=False)["nll"] == pytest.approx(NLL, rel=1e-9)
    assert load_predictions(path, labelled=False).n_classes == 2
    turned = pd.DataFrame(columns)[[f"prob_{no}", f"prob_{yes}"]]
    assert calkit.nll(Y, turned) == pytest.approx(NLL, rel=1e-12)


class TestAnswers:
    """Confidences with labels and answers: what is missing is no answer, and spellings that differ are no mistakes."""

    @pytest.mark.parametrize("missing", ["label", "pred"])
    @pytest.mark.parametrize("writer", ["csv", "parquet", "jsonl"])
    def test_missing_ones(self, tmp_path, missing, writer):
        frame = pd.DataFrame({"conf": [0.9, 0.6, 0.5], "label": [*"aba"], "pred": [*"abb"]})
        frame.loc[1, missing] = None
        path = tmp_path / f"a.{writer}"
        if writer == "jsonl":
            path.write_text("\n".join(json.dumps(row) for row in frame.to_dict("records")).replace("NaN", "null"))
        else:
            frame.to_csv(path, index=False) if writer == "csv" else frame.to_parquet(path)
        with pytest.raises(InputError, match="labels are missing in row 1; remove the row"):
            load_predictions(path)
        if missing == "label":
            p = load_predictions(path, ignore_label=float("nan"))
            assert calkit.evaluate(p, ["accuracy"], floors=False)["accuracy"] == 0.5

    def test_missing_judgements(self, tmp_path):
        (tmp_path / "a.csv").write_text("conf,correct\n.9,1\n.6,\n.5,0\n")
        with pytest.raises(InputError, match="row 1 is missing"):
            load_predictions(tmp_path / "a.csv")
        p = load_predictions(tmp_path / "a.csv", ignore_label=float("nan"))
        assert calkit.evaluate(p, ["accuracy"], floors=False)["accuracy"] == 0.5

    def test_case_and_blanks(self, tmp_path):
        (tmp_path / "a.csv").write_text("conf,label,pred\n.9,cat,CAT\n.6,dog,DOG\n")
        with pytest.raises(InputError, match="differ in case or blanks only; spell both alike"):
            load_predictions(tmp_path / "a.csv")
        # One that is alike says that the others are mistakes.
        (tmp_path / "a.csv").write_text("conf,label,pred\n.9,cat,CAT\n.6,dog,dog\n")
        assert load_predictions(tmp_path / "a.csv").y_true.tolist() == [0, 1]
