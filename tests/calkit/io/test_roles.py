"""Which column is what, in files: classes by value, roles by name, splits by words; numbers by hand or plain loops."""

import contextlib
import itertools
import json
import math
import pickle
import warnings
from typing import get_args

import numpy as np
import pytest

import calkit
from calkit.errors import CalibrationWarning, CalkitError, InputError, UsageError
from calkit.io import describe, load_predictions, save_predictions
from calkit.names import ROLES, SCORE_ROLES, Role, add_words, is_split, read_class_column, read_name
from calkit.roles.families import group_columns

PROBS = [[0.5, 0.25, 0.25], [0.125, 0.75, 0.125], [0.0625, 0.0625, 0.875], [0.375, 0.5, 0.125]]
TRUE = [0, 1, 2, 0]
# By hand: three of four are right; -(ln .5 + ln .75 + ln .875 + ln .375) / 4.
ACCURACY, NLL = 0.75, -(math.log(0.5) + math.log(0.75) + math.log(0.875) + math.log(0.375)) / 4

CLASSES = {"0..": [0, 1, 2], "1..": [1, 2, 3], "gaps": [2, 10, 1], "signed": [-1, 0, 1], "text": ["cat", "dog", "emu"]}
ORDERS = {"in order": [0, 1, 2], "reordered": [2, 0, 1]}


def columns(classes, order, word="prob", extra=False):
    """The columns of a table, in some order of the classes, perhaps with one that is no class."""
    table = {f"{word}_{classes[k]}": [row[k] for row in PROBS] for k in order}
    if extra:
        table[f"{word}_max"] = [max(row) for row in PROBS]
    return table


LABELS = {
    "value": lambda classes: {"label": [classes[k] for k in TRUE]},
    "text": lambda classes: {"label": [str(classes[k]) for k in TRUE]},
    "one-hot": lambda classes: {f"label_{name}": [int(k == true) for true in TRUE] for k, name in enumerate(classes)},
}


def to_csv(path, table):
    rows = zip(*table.values(), strict=True)
    path.write_text("\n".join([",".join(table), *(",".join(map(str, row)) for row in rows)]))


def to_records(path, table):
    rows = [dict(zip(table, row, strict=True)) for row in zip(*table.values(), strict=True)]
    path.write_text("\n".join(map(json.dumps, rows)) if path.suffix == ".jsonl" else json.dumps(rows))


def to_lists(path, table):
    path.write_text(json.dumps(table))


def to_npz(path, table):
    np.savez(path, **{name: np.array(values) for name, values in table.items()})


def to_parquet(path, table):
    pa = pytest.importorskip("pyarrow")
    from pyarrow import parquet

    parquet.write_table(pa.table(table), path)


def to_frame(path, table):
    path.write_bytes(pickle.dumps(pytest.importorskip("pandas").DataFrame(table)))


CONTAINERS = {
    "a.csv": to_csv,
    "a.json": to_records,
    "b.json": to_lists,
    "a.jsonl": to_records,
    "a.npz": to_npz,
    "a.parquet": to_parquet,
    "a.pkl": to_frame,
}


def check(predictions):
    found = calkit.evaluate(predictions, ["accuracy", "nll"])
    assert found["accuracy"] == ACCURACY
    assert found["nll"] == pytest.approx(NLL, abs=1e-12)


@pytest.mark.parametrize("container", CONTAINERS)
@pytest.mark.parametrize(("classes", "labels"), list(itertools.product(CLASSES, LABELS)))
def test_every_spelling_gives_the_one_right_number(container, classes, labels, tmp_path):
    for order, extra in itertools.product(ORDERS, [False, True]):
        path = tmp_path / container
        table = columns(CLASSES[classes], ORDERS[order], extra=extra) | LABELS[labels](CLASSES[classes])
        CONTAINERS[container](path, table)
        trusted = {"trust_pickle": path.suffix == ".pkl"}
        if not extra:
            check(load_predictions(path, **trusted))
            continue
        with pytest.warns(CalibrationWarning, match="prob_max is left out"):
            p = load_predictions(path, **trusted)
        check(p)
        assert p.meta["left_out"] == ("prob_max",)
        shown = next(item for item in describe(path, **trusted).arrays if item.members)
        assert shown.left_out == ("prob_max",)
        assert dict(zip(shown.columns, shown.members, strict=True)) == p.meta["class_columns"]
        assert sorted(shown.columns) == sorted(map(str, CLASSES[classes]))


@pytest.mark.parametrize("container", ["a.json", "a.jsonl"])
@pytest.mark.parametrize("classes", CLASSES)
def test_options_by_key(container, classes, tmp_path):
    names = CLASSES[classes]
    rows = [
        {"probs": {str(names[k]): row[k] for k in (2, 0, 1)}, "label": str(names[true])}
        for row, true in zip(PROBS, TRUE, strict=True)
    ]
    lines = "\n".join(map(json.dumps, rows)) if container.endswith("l") else json.dumps(rows)
    (tmp_path / container).write_text(lines)
    check(load_predictions(tmp_path / container))


@pytest.mark.parametrize("classes", CLASSES)
@pytest.mark.parametrize("word", ["classes", "class_names"])
@pytest.mark.parametrize("text", [False, True])
def test_an_array_of_classes(classes, word, text, tmp_path):
    names = np.array(CLASSES[classes])
    labels = names[TRUE].astype(str) if text else names[TRUE]
    np.savez(tmp_path / "a.npz", probs=PROBS, label=labels, **{word: names})
    check(load_predictions(tmp_path / "a.npz"))


def test_digit_strings_are_numbers(tmp_path):
    # Twelve classes: sorted as text, '10' comes before '2'.
    logits = 5 * np.eye(12)
    for labels in (np.arange(12).astype(str), np.arange(12)):
        np.savez(tmp_path / "a.npz", logits=logits, labels=labels)
        assert calkit.evaluate(load_predictions(tmp_path / "a.npz"), ["accuracy"])["accuracy"] == 1.0
        table = {f"logit_{k}": logits[:, k] for k in sorted(range(12), key=str)} | {"label": labels}
        to_parquet(tmp_path / "a.parquet", table)
        assert calkit.evaluate(load_predictions(tmp_path / "a.parquet"), ["accuracy"])["accuracy"] == 1.0


# The file of the issue: accuracy 100, ECE (.8 + .8 + .7) / 3 from 1 = 23.33.
THREE = "prob_1,prob_2,prob_3,label\n.8,.1,.1,1\n.1,.8,.1,2\n.7,.2,.1,1\n"


def csv(tmp_path, text):
    (tmp_path / "a.csv").write_text(text)
    return tmp_path / "a.csv"


class TestNumbersOfTheIssue:
    @pytest.mark.parametrize(
        ("text", "options"),
        [
            (THREE, {}),
            (THREE.replace("prob_", ""), {"scores": "1,2,3", "kind": "probs"}),
            (THREE.replace("prob_", ""), {"kind": "probs"}),
            (THREE.replace("prob_", "p"), {}),
            (THREE.replace("prob_", "class_"), {"scores": "class_*", "kind": "probs"}),
            (THREE.replace("prob_", "prob_class_"), {}),
            (THREE.replace("prob_1,prob_2,prob_3", "c1,c2,c3"), {"scores": "c?", "kind": "probs"}),
        ],
    )
    def test_integers_are_values_and_no_positions(self, tmp_path, text, options):
        p = load_predictions(csv(tmp_path, text), **options)
        found = calkit.evaluate(p, ["accuracy", "ece"])
        assert (found["accuracy"], round(100 * found["ece"], 2)) == (1.0, 23.33)
        assert p.class_names == (1, 2, 3)

    @pytest.mark.parametrize("word", sorted({w for role in SCORE_ROLES for w in ROLES[role]} | {"pred", "Y_Proba"}))
    def test_columns_are_no_splits(self, tmp_path, word):
        # Confidences .75, .6, .7, .55, the last one wrong: accuracy 75 %. The second and the last share the bin that
        # ends at .6: ECE = (.25 + |.4 - .55| + .3) / 4 = .175.
        text = f"{word}_0,{word}_1,label\n.75,.25,0\n.4,.6,1\n.3,.7,1\n.45,.55,0\n"
        kinds = [None, "probs"] if read_class_column(f"{word}_0").role in ("probs", "confidence") else ["probs"]
        for kind in kinds:
            p = load_predictions(csv(tmp_path, text), kind=kind)
            found = calkit.evaluate(p, ["accuracy", "ece"])
            assert found["accuracy"] == 0.75
            assert found["ece"] == pytest.approx(0.175, abs=1e-12)
            assert "split" not in p.meta

    def test_a_column_that_shares_the_prefix_is_no_class(self, tmp_path):
        path = csv(tmp_path, "logit_0,logit_1,logit_max,label\n2,1,2,0\n0,3,3,1\n1,0,1,0\n")
        with pytest.warns(CalibrationWarning, match=r"logit_max is left out, since it is none of the classes 0, 1\."):
            p = load_predictions(path, kind="logits")
        found = calkit.evaluate(p, ["nll", "ece"])
        # By hand: (2 ln(1 + e^-1) + ln(1 + e^-3)) / 3, and 1 - (2 / (1 + e^-1) + 1 / (1 + e^-3)) / 3.
        assert found["nll"] == pytest.approx((2 * math.log1p(math.exp(-1)) + math.log1p(math.exp(-3))) / 3, abs=1e-12)
        assert found["ece"] == pytest.approx(1 - (2 / (1 + math.exp(-1)) + 1 / (1 + math.exp(-3))) / 3, abs=1e-12)
        assert (round(found["nll"], 4), round(100 * found["ece"], 2)) == (0.2250, 19.51)
        # Where labels or the user call a class so, it is one.
        path = csv(tmp_path, "prob_min,prob_max,label\n.7,.3,min\n.4,.6,max\n")
        assert list(group_columns(["prob_min", "prob_max"])) == ["prob_min", "prob_max"]
        p = load_predictions(path, scores="prob_min,prob_max", kind="probs")
        assert (p.class_names, p.y_true.tolist()) == (("min", "max"), [0, 1])
        path = csv(tmp_path, "logit_a,logit_b,logit_max,label\n2,1,0,a\n0,3,1,b\n1,0,5,max\n")
        assert load_predictions(path).class_names == ("a", "b", "max")

    @pytest.mark.parametrize("names", ["0,1", "1,0", [0, 1], ["0", "1"]])
    def test_the_user_names_the_classes(self, tmp_path, names):
        path = csv(tmp_path, "logit_0,logit_1,logit_x,label\n2,1,2,0\n0,3,3,1\n1,0,1,0\n")
        with pytest.warns(CalibrationWarning, match="logit_x is left out"):
            p = load_predictions(path, class_names=names)
        assert round(calkit.evaluate(p, ["nll"])["nll"], 4) == 0.2250

    def test_a_class_without_a_column(self, tmp_path):
        with pytest.raises(UsageError, match="class_names has 'cow', but the columns of 'prob' are those of cat, dog"):
            load_predictions(csv(tmp_path, "prob_cat,prob_dog,label\n.5,.5,cat\n"), class_names="cat,cow")

    def test_answers_and_labels_of_different_types(self, tmp_path):
        with pytest.raises(InputError, match=r"different types: 'A' and 0; spell both alike\. \(label, pred\)"):
            load_predictions(csv(tmp_path, "label,pred,confidence\nA,0,.9\nB,1,.5\n"))

    @pytest.mark.parametrize(
        ("text", "options", "accuracy", "ece"),
        [
            # |1 - .9| / 2 + |0 - .6| / 2
            ("true_label,pred_label,confidence\n3,3,.9\n4,5,.6\n", {}, 0.5, 0.35),
            ("conf,tp\n.9,1\n.6,0\n", {}, 0.5, 0.35),
            ("target,exact_match,confidence\nParis,1,.9\nRome,0,.6\n", {}, 0.5, 0.35),
            ("model_confidence,is_correct\n.9,yes\n.6,no\n", {}, 0.5, 0.35),
            ("x,y1,z\n.9,1,1\n.6,2,1\n", {"confidence": "x", "labels": "y1", "predicted": "z"}, 0.5, 0.35),
            ("x,z\n90,1\n60,0\n", {"confidence": "x", "correct": "z", "percent": True}, 0.5, 0.35),
            # .9 and .6 right, .8 wrong, each in its own bin: (.1 + .4 + .8) / 3
            (".pred_A,.pred_B,truth\n.9,.1,A\n.4,.6,B\n.8,.2,B\n", {}, 2 / 3, 1.3 / 3),
            (".pred_A,.pred_B,.pred_class,truth\n.9,.1,A,A\n.4,.6,B,B\n.8,.2,A,B\n", {}, 2 / 3, 1.3 / 3),
            ("Pred.A;Pred.B;truth\n0,9;0,1;A\n0,4;0,6;B\n0,8;0,2;B\n", {"kind": "probs"}, 2 / 3, 1.3 / 3),
            ("A_prob,B_prob,label\n.9,.1,A\n.4,.6,B\n.8,.2,B\n", {"scores": "A_prob,B_prob"}, 2 / 3, 1.3 / 3),
            ("prob_A,prob_B,label\n90,10,A\n40,60,B\n80,20,B\n", {"percent": True}, 2 / 3, 1.3 / 3),
            ("prob_A,prob_B,label\n.9,.1,1\n.4,.6,2\n.8,.2,2\n", {"labels_from": 1}, 2 / 3, 1.3 / 3),
            ("prob_A,prob_B,label\n.9,.1,A\n.4,.6,B\n.8,.2,B\n.5,.5,?\n", {"ignore_label": "?"}, 2 / 3, 1.3 / 3),
            ("prob_A,prob_B,label\n1.8,.2,A\n.4,.6,B\n.4,.1,B\n", {"normalize": True}, 2 / 3, 1.3 / 3),
        ],
    )
    def test_files_of_other_tools(self, tmp_path, text, options, accuracy, ece):
        found = calkit.evaluate(load_predictions(csv(tmp_path, text), **options), ["accuracy", "ece"])
        assert found["accuracy"] == pytest.approx(accuracy, abs=1e-12)
        assert found["ece"] == pytest.approx(ece, abs=1e-12)


class TestOneColumn:
    @pytest.mark.parametrize(
        ("name", "labels", "options", "names"),
        [
            ("prob_spam", "spam,ham,ham", {}, ("ham", "spam")),
            ("prob", "spam,ham,ham", {"positive": "spam"}, ("ham", "spam")),
            ("prob", "spam,ham,eggs", {"positive": "spam"}, ("not spam", "spam")),
            ("prob", "1,0,0", {}, None),
            ("prob_1", "1,0,0", {}, (0, 1)),
            ("prob_0", "0,1,1", {}, (1, 0)),
            ("prob_-1", "-1,1,1", {}, (1, -1)),
            ("prob_True", "True,False,False", {}, (False, True)),
            ("resnet_prob", "1,0,0", {}, None),
            ("prob", "2,1,1", {"labels_from": 1}, None),
            ("prob", "2,1,1", {"positive": "2"}, (1, 2)),
            ("prob", "1,0,0", {"class_names": ["ham", "spam"]}, ("ham", "spam")),
        ],
    )
    def test_is_the_forecast_of_one_label(self, tmp_path, name, labels, options, names):
        rows = zip([0.9, 0.4, 0.3], labels.split(","), strict=True)
        text = "\n".join([f"{name},label", *(f"{p},{label}" for p, label in rows)])
        p = load_predictions(csv(tmp_path, text), **options)
        assert (p.class_names, p.y_true.tolist()) == (names, [1, 0, 0])
        # By hand: (.1 + .4 + .3) squared errors of P(y = 1), twice, over three rows.
        assert calkit.evaluate(p, ["accuracy"])["accuracy"] == 1.0

    @pytest.mark.parametrize(
        ("name", "labels", "message"),
        [
            ("prob", "spam,ham,ham", r"the labels are 'ham', 'spam'\. Say which .*positive='spam' \(--positive spam\)"),
            ("prob_2", "1,0,0", r"named after the class 2, but the labels are 0, 1"),
            ("prob_cat", "cat,dog,emu", r"3 different labels .*--positive cat"),
        ],
    )
    def test_or_it_is_asked_which(self, tmp_path, name, labels, message):
        rows = zip([0.9, 0.4, 0.3], labels.split(","), strict=True)
        path = csv(tmp_path, "\n".join([f"{name},label", *(f"{p},{label}" for p, label in rows)]))
        with pytest.raises(UsageError, match=message):
            load_predictions(path)

    def test_answers_that_contradict_it(self, tmp_path):
        # .8 for an answer 0 is no probability of 1, by the usual threshold.
        path = csv(tmp_path, "label,pred,prob\n1,1,.9\n0,0,.8\n1,0,.7\n")
        with pytest.raises(UsageError, match=r"'prob' is 0\.8 in row 1, where 'pred' is not 1\..*--kind confidence"):
            load_predictions(path)
        # By hand: the first two answers are right, so |1 - .9|, |1 - .8| and |0 - .7|, each in its own bin.
        pairs = load_predictions(path, kind="confidence")
        assert calkit.evaluate(pairs, ["ece"])["ece"] == pytest.approx(1 / 3, abs=1e-12)
        assert load_predictions(path, kind="probs").y_true.tolist() == [1, 0, 1]
        agree = csv(tmp_path, "label,pred,prob\n1,1,.9\n0,0,.2\n")
        assert load_predictions(agree).y_true.tolist() == [1, 0]

    def test_a_label_that_is_none(self, tmp_path):
        path = csv(tmp_path, "prob,label\n.9,spam\n.4,ham\n")
        with pytest.raises(UsageError, match="positive='eggs' is none of the labels, which are 'ham', 'spam'"):
            load_predictions(path, positive="eggs")
        with pytest.raises(UsageError, match="is for one column of scores"):
            load_predictions(csv(tmp_path, "prob_a,prob_b,label\n.9,.1,a\n"), positive="a")


class TestSplitsAndModels:
    TABLE = "split,prob_0,prob_1,label\nval,.9,.1,0\ntest,.4,.6,1\ntest,.6,.4,1\nval,.2,.8,1\n"

    def test_a_column_names_the_split_of_each_row(self, tmp_path):
        path = csv(tmp_path, self.TABLE)
        with pytest.raises(UsageError, match=r"holds the splits 'validation', 'test'.*--split"):
            load_predictions(path)
        p = load_predictions(path, split="val", columns="all")
        assert (p.meta["split"], p.y_true.tolist()) == ("validation", [0, 1])
        np.testing.assert_array_equal(np.asarray(p.scores), [[0.9, 0.1], [0.2, 0.8]])
        assert p.columns["split"].tolist() == ["val", "val"]
        assert load_predictions(path, split="test").y_true.tolist() == [1, 1]
        with pytest.raises(UsageError, match="unknown split 'train'"):
            load_predictions(path, split="train")

    def test_other_values_are_splits_if_said(self, tmp_path):
        path = csv(tmp_path, self.TABLE.replace("val", "a").replace("test", "b"))
        assert load_predictions(path).n_samples == 4
        assert load_predictions(path, split_column="split", split="b").y_true.tolist() == [1, 1]
        path = csv(tmp_path, self.TABLE.replace("split", "part"))
        assert load_predictions(path).n_samples == 4
        assert load_predictions(path, split_column="part", split="test").y_true.tolist() == [1, 1]

    @pytest.mark.parametrize("split", ["val", "test", "train", "dev"])
    def test_words_for_splits(self, tmp_path, split):
        text = f"{split}_prob_0,{split}_prob_1,{split}_label\n.9,.1,0\n.4,.6,1\n"
        p = load_predictions(csv(tmp_path, text))
        assert is_split(split)
        assert (p.n_samples, p.meta["split"]) == (2, read_name(f"{split}_label").split)

    def test_models_with_answers_of_their_own(self, tmp_path):
        path = csv(tmp_path, "conf_a,pred_a,conf_b,pred_b,label\n.9,1,.8,2,1\n.6,2,.5,2,2\n")
        with pytest.raises(UsageError, match="holds the splits 'a', 'b'"):
            load_predictions(path)
        assert load_predictions(path, split="b").y_true.tolist() == [0, 1]
        assert load_predictions(path, confidence="conf_a", predicted="pred_a").y_true.tolist() == [1, 1]

    def test_models_without_are_asked_for(self, tmp_path):
        path = csv(tmp_path, "resnet_prob,vit_prob,label\n.9,.1,1\n.4,.6,0\n")
        with pytest.raises(UsageError, match=r"'resnet_prob', 'vit_prob' could all be the scores.*--scores"):
            load_predictions(path)
        assert load_predictions(path, scores="vit_prob").scores.tolist() == [0.1, 0.6]


class TestUnlabelled:
    TEXT = "id,site,prob_cat,prob_dog,note\nx1,A,.9,.1,hello\nx2,B,.4,.6,world\n"

    def test_labels_are_asked_for_unless_none_are_needed(self, tmp_path):
        path = csv(tmp_path, self.TEXT)
        with pytest.raises(UsageError, match=r"no array is named like labels.*--labels"):
            load_predictions(path)
        p = load_predictions(path, labelled=False, columns="all")
        assert p.y_true is None
        assert {name: values.tolist() for name, values in p.columns.items()} == {
            "id": ["x1", "x2"],
            "site": ["A", "B"],
            "note": ["hello", "world"],
        }
        assert list(load_predictions(path, labelled=False).columns) == []
        assert list(load_predictions(path, labelled=False, columns=["site"]).columns) == ["site"]
        assert load_predictions(path, labelled=False, ids="note").columns["id"].tolist() == ["hello", "world"]

    @pytest.mark.parametrize("suffix", [".csv", ".npz", ".parquet", ".safetensors"])
    def test_rows_can_be_joined(self, tmp_path, suffix):
        if suffix == ".parquet":
            pytest.importorskip("pyarrow")
        p = load_predictions(
            csv(tmp_path, self.TEXT.replace("x1", "1").replace("x2", "2")), labelled=False, columns="all"
        )
        if suffix == ".safetensors":
            with pytest.warns(CalibrationWarning, match="columns site, note are no numbers, and are left out"):
                save_predictions(p, tmp_path / f"b{suffix}")
        else:
            save_predictions(p, tmp_path / f"b{suffix}")
        again = load_predictions(tmp_path / f"b{suffix}", labelled=False, columns="all")
        assert (again.y_true, again.class_names) == (None, ("cat", "dog"))
        assert again.columns["id"].tolist() == [1, 2]
        if suffix != ".safetensors":
            assert again.columns["note"].tolist() == ["hello", "world"]

    @pytest.mark.parametrize("suffix", [".csv", ".npz", ".parquet", ".safetensors"])
    @pytest.mark.parametrize("names", [("cat", "dog", "emu"), (1, 2, 3), (3, 1, 2), ("10", "9", "x"), None])
    def test_labels_travel_by_name(self, tmp_path, suffix, names):
        if suffix == ".parquet":
            pytest.importorskip("pyarrow")
        labels = TRUE if names is None else [names[k] for k in TRUE]
        p = calkit.Predictions(PROBS, labels, kind="probs", class_names=names)
        refusal = {
            # Numbers stand in order in a table.
            ((3, 1, 2), ".csv"): "cannot be written as .csv and read back",
            ((3, 1, 2), ".parquet"): "cannot be written as .parquet and read back",
            (("10", "9", "x"), ".safetensors"): "cannot be told apart in a file without text",
        }.get((names, suffix))
        if refusal:
            with pytest.raises(UsageError, match=refusal):
                save_predictions(p, tmp_path / f"a{suffix}")
            return
        save_predictions(p, tmp_path / f"a{suffix}")
        again = load_predictions(tmp_path / f"a{suffix}")
        check(again)
        found = again.class_names or (0, 1, 2)
        assert [str(found[k]) for k in again.y_true] == [str(label) for label in labels]
        if suffix != ".safetensors":
            from calkit.io import open_container

            assert list(map(str, open_container(tmp_path / f"a{suffix}").fields["labels"].read().tolist())) == list(
                map(str, labels)
            )

    @pytest.mark.parametrize("name", ["", " ", "a ", "\r", "max", "test", "x\ny"])
    def test_names_that_a_table_cannot_hold_are_refused(self, tmp_path, name):
        names = ["val", name] if name == "test" else ["b", name]
        p = calkit.Predictions([[0.5, 0.5]], [0], kind="probs", class_names=names)
        written = []
        for suffix in (".csv", ".parquet"):
            with contextlib.suppress(UsageError):
                save_predictions(p, tmp_path / f"a{suffix}")
                written.append(suffix)
                assert load_predictions(tmp_path / f"a{suffix}").class_names == tuple(names)
        # Line ends may be quoted in text; blanks, and words for other things, would be lost.
        assert ".csv" not in written or name == "x\ny"
        # The remedy works.
        save_predictions(p, tmp_path / "a.npz")
        assert load_predictions(tmp_path / "a.npz").class_names == tuple(names)


class TestTheDictionary:
    def test_every_role_has_words_and_a_line_in_the_docs(self):
        assert list(get_args(Role)) == list(ROLES)
        for role, words in ROLES.items():
            for word in words:
                for spelling in (word, word.upper(), word.replace("_", " ").title()):
                    assert read_name(spelling).role == role

    def test_words_name_one_role_each(self):
        words = [word for words in ROLES.values() for word in words]
        assert len(set(words)) == len(words)

    def test_it_can_be_extended(self, tmp_path, monkeypatch):
        monkeypatch.setattr("calkit.names.ROLES", dict(ROLES))
        path = csv(tmp_path, "wkt_0,wkt_1,wahr\n.9,.1,0\n.4,.6,1\n")
        with pytest.raises(UsageError, match="no array is named like scores"):
            load_predictions(path)
        try:
            add_words("probs", "wkt")
            add_words("labels", "Wahr")
            assert load_predictions(path).y_true.tolist() == [0, 1]
            with pytest.raises(UsageError, match="'wkt' names the probs already"):
                add_words("labels", "wkt")
            with pytest.raises(UsageError, match="role must be one of"):
                add_words("colour", "blue")
        finally:
            monkeypatch.undo()
            add_words("probs")

    def test_every_role_can_be_said(self):
        import inspect

        said = set(inspect.signature(load_predictions).parameters)
        names = {"id": "ids", "group": "groups", "split": "split_column", "logits": "scores", "probs": "scores"}
        assert {names.get(role, role) for role in ROLES} <= said


def test_an_empty_split_with_one_hot_labels(tmp_path):
    np.savez(tmp_path / "a.npz", logits=np.zeros((0, 3)), labels=np.zeros((0, 3)))
    with pytest.raises(InputError, match="there are no rows"):
        load_predictions(tmp_path / "a.npz")


@pytest.mark.parametrize("axis", [1, -1])
def test_a_class_axis(tmp_path, axis):
    rng = np.random.default_rng(0)
    rows = rng.random((2, 4, 5, 3))
    rows /= rows.sum(axis=-1, keepdims=True)
    labels = rng.integers(0, 3, (2, 4, 5))
    scores = np.moveaxis(rows, -1, axis)
    np.savez(tmp_path / "a.npz", probs=scores, labels=np.where(labels == 2, -100, labels))
    with pytest.raises(InputError, match=rf"--class-axis {axis}\)"):
        load_predictions(tmp_path / "a.npz")
    p = load_predictions(tmp_path / "a.npz", class_axis=axis, ignore_label=-100)
    flat, true = rows.reshape(-1, 3), labels.reshape(-1)
    kept = true != 2
    assert calkit.evaluate(p, ["accuracy"])["accuracy"] == pytest.approx(
        (flat.argmax(axis=1) == true)[kept].mean(), abs=1e-12
    )


def test_no_cell_ends_otherwise_than_in_a_number_or_a_clear_error(tmp_path):
    """Columns of any two words and labels of any spelling: read, or refused."""
    words = [
        "prob_0",
        "prob_1",
        "prob_cat",
        "prob_dog",
        "label",
        "pred",
        "confidence",
        "correct",
        "score",
        "split",
        "y",
    ]
    for first, second, third in itertools.combinations(words, 3):
        path = csv(tmp_path, f"{first},{second},{third}\n.5,.5,1\n.25,.75,0\n")
        with contextlib.suppress(CalkitError), warnings.catch_warnings():
            warnings.simplefilter("ignore", CalibrationWarning)
            calkit.evaluate(load_predictions(path), ["ece"])


class TestTextStaysWhatItIs:
    #: Words that are numbers, but not as a number is written; and those that are.
    WORDS = (
        ["01", "02"],
        ["+1", "-0"],
        ["1_0", "20"],
        ["12345678901234567890", "1"],
        ["0.50", "0.5"],
        ["1e3", "1000"],
        ["1", "2.5"],
        ["true", "FALSE"],
        ["", "7"],
    )
    NUMBERS = (["1", "20"], ["0.5", "1.25"], ["-3", "4"])

    @pytest.mark.parametrize("words", [*WORDS, *NUMBERS], ids=str)
    @pytest.mark.parametrize("name", ["id", "site", "fold"])
    def test_ids_and_other_columns(self, tmp_path, words, name):
        text = f"{name},prob_0,prob_1,label\n{words[0]},.9,.1,0\n{words[1]},.4,.6,1\n"
        for separator in (",", ";"):
            path = csv(tmp_path, text.replace(",", separator))
            found = load_predictions(path, columns="all").columns[name]
            assert found.astype(str).tolist() == words
            assert (found.dtype.kind == "U") == (words not in self.NUMBERS)
        # So they can be joined with what is written.
        p = load_predictions(path, columns="all")
        save_predictions(p, tmp_path / "c.csv")
        assert load_predictions(tmp_path / "c.csv", columns="all").columns[name].astype(str).tolist() == words

    def test_columns_with_decimal_commas(self, tmp_path):
        path = csv(tmp_path, "id;price;prob_0;prob_1;label\n1,50;2,5;0,9;0,1;0\n1;3,25;0,4;0,6;1\n")
        p = load_predictions(path, columns="all")
        assert p.columns["id"].tolist() == ["1,50", "1"]
        assert p.columns["price"].tolist() == [2.5, 3.25]
        np.testing.assert_array_equal(np.asarray(p.scores), [[0.9, 0.1], [0.4, 0.6]])

    def test_long_files_as_short_ones(self, tmp_path, monkeypatch):
        """Beyond the first block, other words may come, and another parser reads."""
        monkeypatch.setattr("calkit.io.text.TEXT_BLOCK_BYTES", 1000)
        rows = [f"{i},0{i % 10},.9,.1,{i % 2}" for i in range(300)]
        path = csv(tmp_path, "\n".join(["id,site,prob_0,prob_1,label", *rows, "0x,7,.9,.1,1.0"]))
        p = load_predictions(path, columns="all")
        assert p.columns["id"].tolist() == [*map(str, range(300)), "0x"]
        assert p.columns["site"].tolist() == [*(f"0{i % 10}" for i in range(300)), "7"]
        assert p.y_true[:2].tolist() == [0, 1]

    def test_numbers_of_scores_and_weights_are_numbers_however_written(self, tmp_path):
        path = csv(tmp_path, "prob,label,weight,w,s\n0.90,1,1.00,03,0.20\n.40,0,2,04,.80\n")
        p = load_predictions(path)
        assert (p.scores.tolist(), p.sample_weight.tolist()) == ([0.9, 0.4], [1, 2])
        p = load_predictions(path, scores="s", kind="probs", sample_weight="w")
        assert (p.scores.tolist(), p.sample_weight.tolist()) == ([0.2, 0.8], [3, 4])
        pairs = load_predictions(path, confidence="s", correct="label")
        assert pairs.scores.tolist() == [0.2, 0.8]

    def test_labels_with_leading_zeros_are_matched_by_value(self, tmp_path):
        path = csv(tmp_path, "prob_01,prob_02,label\n.9,.1,01\n.4,.6,02\n")
        assert load_predictions(path).y_true.tolist() == [0, 1]
        path = csv(tmp_path, "prob_0,prob_1,label\n.9,.1,00\n.4,.6,01\n")
        with pytest.raises(InputError, match=r"'00' in row 0.*--class-names"):
            load_predictions(path)
        assert load_predictions(path, class_names="00,01").y_true.tolist() == [0, 1]

    def test_text_of_json_is_text(self, tmp_path):
        records = [
            {"id": "01", "prob": "0.5", "label": "1", "weight": "2"},
            {"id": "2", "prob": "0.25", "label": "0", "weight": "1"},
        ]
        for path, text in (
            (tmp_path / "a.json", json.dumps(records)),
            (tmp_path / "a.jsonl", "\n".join(map(json.dumps, records))),
        ):
            path.write_text(text)
            p = load_predictions(path, columns="all")
            assert p.columns["id"].tolist() == ["01", "2"]
            assert (p.scores.tolist(), p.y_true.tolist()) == ([0.5, 0.25], [1, 0])
            assert p.sample_weight.tolist() == [2, 1]


class TestWordsForTruth:
    """True and False are two options in any order, unless columns have names or the labels are booleans."""

    def write(self, tmp_path, suffix, scores, labels):
        path = tmp_path / f"a{suffix}"
        if suffix == ".npz":
            np.savez(path, logits=scores, target=np.array(labels))
        elif suffix == ".parquet":
            pa = pytest.importorskip("pyarrow")
            pq = pytest.importorskip("pyarrow.parquet")
            pq.write_table(pa.table({"logits": scores, "target": labels}), path)
        else:
            records = [{"logits": row, "target": label} for row, label in zip(scores, labels, strict=True)]
            text = json.dumps(records) if suffix == ".json" else "\n".join(map(json.dumps, records))
            path.write_text(text)
        return path

    @pytest.mark.parametrize("suffix", [".json", ".jsonl", ".npz", ".parquet"])
    @pytest.mark.parametrize("words", [("True", "False"), ("true", "false"), ("FALSE", "FALSE")], ids=str)
    def test_are_asked_about(self, tmp_path, suffix, words):
        path = self.write(tmp_path, suffix, [[2.0, 1.0], [0.0, 1.0]], list(words))
        with pytest.raises(
            UsageError, match=r"which of the two columns of 'logits' is which.*--class-names False,True"
        ):
            load_predictions(path)
        truth = [word.lower() == "true" for word in words]
        assert load_predictions(path, class_names="False,True").y_true.tolist() == [int(value) for value in truth]
        assert load_predictions(path, class_names="True,False").y_true.tolist() == [int(not value) for value in truth]

    @pytest.mark.parametrize("suffix", [".json", ".jsonl", ".npz", ".parquet"])
    def test_booleans_and_names_are_not(self, tmp_path, suffix):
        path = self.write(tmp_path, suffix, [[2.0, 1.0], [0.0, 1.0]], [True, False])
        assert load_predictions(path).y_true.tolist() == [1, 0]

    def test_an_evaluation_log_without_options(self, tmp_path):
        path = tmp_path / "samples.jsonl"
        record = {"filtered_resps": [[-1.2, False], [-0.3, True]], "target": "True"}
        path.write_text("\n".join(json.dumps(record | {"target": target}) for target in ("True", "False")))
        with pytest.raises(UsageError, match="--class-names False,True"):
            load_predictions(path)
        # Its options say which is which.
        document = record | {"doc": {"choices": ["True", "False"]}}
        path.write_text("\n".join(json.dumps(document | {"target": target}) for target in ("True", "False")))
        assert load_predictions(path).y_true.tolist() == [0, 1]


class TestColumnsOfSplits:
    """Columns that are named after a split, ``test_topic``, go with the scores of that split, by their plain name."""

    @pytest.fixture
    def path(self, tmp_path):
        arrays = {}
        for split, topics in {"val": ["a", "b", "b"], "test": ["b", "c", "c"]}.items():
            arrays[f"{split}_logits"], arrays[f"{split}_labels"] = np.eye(3), np.arange(3)
            arrays[f"{split}_topic"] = np.array(topics)
        np.savez(tmp_path / "a.npz", **arrays, topic_train=np.array(["x", "y", "z"]))
        return tmp_path / "a.npz"

    @pytest.mark.parametrize(("split", "topics"), [("validation", ["a", "b", "b"]), ("test", ["b", "c", "c"])])
    def test_found_by_the_plain_name(self, path, split, topics):
        assert load_predictions(path, split=split, columns="topic").columns["topic"].tolist() == topics
        assert load_predictions(path, split=split, columns=[f"{split[:4]}_topic" if split == "test" else "val_topic"])

    def test_all_are_those_of_the_split_and_of_none(self, path):
        found = load_predictions(path, split="test", columns="all").columns
        # There are no scores of a split "train", so that its column may be of these rows.
        assert {name: values.tolist() for name, values in found.items()} == {
            "topic": ["b", "c", "c"],
            "topic_train": ["x", "y", "z"],
        }

    def test_a_column_of_the_name_itself_comes_first(self, path):
        arrays = dict(np.load(path)) | {"topic": np.array(["u", "v", "w"])}
        np.savez(path, **arrays)
        found = load_predictions(path, split="test", columns="all").columns
        assert found["topic"].tolist() == ["u", "v", "w"]
        assert found["test_topic"].tolist() == ["b", "c", "c"]
