"""Roles on the command line: each can be said, and what an error advises works when it is done."""

import csv
import io
import json
import re
import shlex

import numpy as np
import pytest

import calkit
from calkit.cli.app import run
from calkit.names import ROLES


@pytest.fixture
def command(capsys):
    """Run a command; return (exit code, stdout, stderr)."""

    def call(*words):
        code = run([str(word) for word in words])
        return (code, *capsys.readouterr())

    return call


def evaluate(command, path, *options):
    code, out, err = command("evaluate", path, "--metrics", "accuracy,ece", "--format", "json", *options)
    assert code == 0, err
    (found,) = json.loads(out)
    return found


def write(path, text):
    path.write_text(text)
    return path


PAIRS = "q,c,r,a,w,l\n1,.9,1,x,1,x\n2,.6,0,y,3,z\n"


class TestEveryRoleCanBeSaid:
    @pytest.mark.parametrize(
        ("options", "accuracy", "ece"),
        [
            # |1 - .9| / 2 + |0 - .6| / 2
            (["--confidence", "c", "--correct", "r"], 0.5, 0.35),
            (["--confidence", "c", "--labels", "l", "--predicted", "a"], 0.5, 0.35),
            # Weights 1 and 3: |1 - .9| / 4 + |0 - .6| 3 / 4
            (["--confidence", "c", "--correct", "r", "--weight", "w"], 0.25, 0.475),
            (["--confidence", "c", "--correct", "r", "--sample-weight", "w"], 0.25, 0.475),
            (["--confidence", "c", "--labels", "l", "--predicted", "a", "--ignore-label", "z"], 1.0, 0.1),
            (["--scores", "c", "--kind", "confidence", "--correct", "r"], 0.5, 0.35),
            (["--scores", "c", "--correct", "r"], 0.5, 0.35),
        ],
    )
    def test_of_pairs(self, command, tmp_path, options, accuracy, ece):
        found = evaluate(command, write(tmp_path / "a.csv", PAIRS), *options)["metrics"]
        assert found["accuracy"] == pytest.approx(accuracy, abs=1e-12)
        assert found["ece"] == pytest.approx(ece, abs=1e-12)

    @pytest.mark.parametrize(
        ("text", "options"),
        [
            ("u,v,t\n.9,.1,A\n.4,.6,B\n.8,.2,B\n", ["--scores", "u,v", "--kind", "probs", "--class-names", "u,v"]),
            ("u,v,t\n.9,.1,u\n.4,.6,v\n.8,.2,v\n", ["--scores", "u,v", "--kind", "probs"]),
            ("prob_0,prob_1,t\n.9,.1,A\n.4,.6,B\n.8,.2,B\n", ["--class-names", "A,B"]),
            ("prob_A,prob_B,t\n.9,.1,1\n.4,.6,2\n.8,.2,2\n", ["--labels-from", "1"]),
            ("prob_A,prob_B,t\n90,10,A\n40,60,B\n80,20,B\n", ["--percent"]),
            ("prob_A,prob_B,t\n1.8,.2,A\n.4,.6,B\n.4,.1,B\n", ["--normalize"]),
            (
                "prob_A,prob_B,t\n.9,.1,A\n.4,.6,B\n.8,.2,B\n.5,.5,-100\n.5,.5,?\n",
                ["--ignore-label=-100", "--ignore-label", "?"],
            ),
            (
                "fold,prob_A,prob_B,t\nx,.9,.1,A\nx,.4,.6,B\nx,.8,.2,B\ny,1,0,B\n",
                ["--split-column", "fold", "--split", "x"],
            ),
        ],
    )
    def test_of_scores(self, command, tmp_path, text, options):
        path = write(tmp_path / "a.csv", text)
        if "u,v" in options and "A" in text:
            # Names of columns are names of classes: labels that are none of them are refused.
            assert command("evaluate", path, "--labels", "t", *options)[0] == 1
            return
        # .9 and .6 right, .8 wrong, each in a bin of its own: (.1 + .4 + .8) / 3
        found = evaluate(command, path, "--labels", "t", *options)["metrics"]
        assert found["accuracy"] == pytest.approx(2 / 3, abs=1e-12)
        assert found["ece"] == pytest.approx(1.3 / 3, abs=1e-12)

    def test_of_one_event(self, command, tmp_path):
        path = write(tmp_path / "a.csv", "prob,t\n.9,spam\n.4,ham\n.3,eggs\n")
        assert evaluate(command, path, "--labels", "t", "--positive", "spam")["metrics"]["accuracy"] == 1.0

    def test_of_pixels(self, command, tmp_path):
        probs = np.moveaxis(np.array([[[[0.75, 0.25], [0.5, 0.5]]]]), -1, 1)
        np.savez(tmp_path / "a.npz", probs=probs, mask=np.array([[[0, 255]]]))
        options = ["--labels", "mask", "--class-axis", "1", "--ignore-label", "255"]
        assert evaluate(command, tmp_path / "a.npz", *options)["metrics"] == {"accuracy": 1.0, "ece": 0.25}

    def test_in_other_files(self, command, tmp_path):
        path = write(tmp_path / "a.csv", PAIRS)
        np.save(tmp_path / "right.npy", [1, 0])
        write(tmp_path / "names.txt", "A\nB\n")
        found = evaluate(command, path, "--confidence", "c", "--correct", tmp_path / "right.npy")
        assert found["metrics"]["accuracy"] == 0.5
        np.savez(tmp_path / "b.npz", probs=[[0.9, 0.1]], labels=["A"])
        assert (
            evaluate(command, tmp_path / "b.npz", "--class-names", tmp_path / "names.txt")["metrics"]["accuracy"] == 1
        )

    def test_every_role_has_an_option(self, command):
        text = command("evaluate", "--help")[1]
        options = {
            "logits": "--kind",
            "probs": "--kind",
            "sample_weight": "--weight",
            "class_names": "--class-names",
            "split": "--split-column",
        }
        for role in ROLES:
            assert options.get(role, f"--{role}") in text


def suggested(message):
    """The options that a message advises, in its order; what stands for a name is left to the test."""
    return re.findall(r"(--[a-z-]+(?: '[^']*'| -?\w+)?)", message)


# A file, what is asked, and the option of the message that is followed, with the name that is put in.
REFUSALS = [
    ("output_0,output_1,label\n.9,.1,0\n", "--kind probs", None),
    ("cat,dog,label\n.9,.1,cat\n", "--scores 'cat,dog'", "--kind probs"),
    ("a_prob,b_prob,label\n.9,.1,a\n", "--scores 'a_prob,b_prob'", None),
    ("prob_0,prob_1,klass\n.9,.1,0\n", "--labels NAME", "klass"),
    ("prob_0,prob_1,label,true_label\n.9,.1,0,0\n", "--labels NAME", "label"),
    ("prob,label\n.9,spam\n.1,ham\n", "--positive spam", None),
    ("prob,label,pred\n.9,spam,spam\n.6,ham,ham\n", "--kind confidence", None),
    ("label,pred,prob\n1,1,.9\n0,0,.8\n1,0,.7\n", "--kind confidence", None),
    ("label,pred,prob\n1,1,.9\n0,0,.8\n1,0,.7\n", "--kind probs", None),
    ("prob_cat,label\n.9,cat\n.1,dog\n.2,emu\n", "--positive cat", None),
    ("prob_0,prob_1,label\n.9,.1,1\n.1,.9,2\n", "--labels-from 1", None),
    ("prob_a,prob_b,label\n.9,.1,1\n.1,.9,2\n", "--labels-from 1", None),
    ("prob_0,prob_1,label\n.9,.1,1\n.1,.9,7\n", "--ignore-label 7", None),
    ("prob_a,prob_b,label\n.9,.1,a\n.1,.9,-100\n", "--ignore-label -100", None),
    ("prob_0,prob_1,label\n90,10,0\n40,60,1\n", "--percent", None),
    ("conf,correct\n90,1\n60,0\n", "--percent", None),
    ("prob_0,prob_1,label\n.9,.12,0\n.4,.6,1\n", "--normalize", None),
    ("prob_0,prob_1,label\n.9,.8,0\n.4,.3,1\n", "--normalize", None),
    ("prob_0,prob_1,label\n-1,2,0\n.4,3,1\n", "--kind logits", None),
    ("split,prob_0,prob_1,label\nval,.9,.1,0\ntest,.1,.9,1\n", "--split NAME", "test"),
    ("conf_a,pred_a,conf_b,pred_b,label\n.9,1,.8,2,1\n", "--split NAME", "b"),
    ("conf,x\n.9,1\n.6,0\n", "--correct NAME", "x"),
]


@pytest.mark.parametrize(("text", "option", "more"), REFUSALS)
def test_the_remedy_works(command, tmp_path, text, option, more):
    path = write(tmp_path / "a.csv", text)
    # Evaluation would show all splits; conversion needs no labels.
    command_line = ["convert", path, tmp_path / "b.npz"] if "--split" in option else ["evaluate", path]
    code, _, err = command(*command_line)
    assert code in (1, 2), err
    assert len(err.splitlines()) == 1
    advice = [words for words in suggested(err) if words.startswith(option.split()[0])]
    assert option in advice, err
    words = shlex.split(option if more is None else option.replace("NAME", more))
    extra = shlex.split(more) if more and more.startswith("--") else []
    code, _, err = command(*command_line, *words, *extra)
    assert code == 0, err


class TestNewData:
    """Predictions without labels are calibrated, and what is written can be joined."""

    TEXT = "id,site,logit_cat,logit_dog,note\nx1,A,1.5,-1,hello\nx2,B,-.5,.25,world\n"

    @pytest.fixture
    def cal(self, command, tmp_path):
        rng = np.random.default_rng(0)
        logits = 3 * rng.standard_normal((80, 2))
        names = np.array(["cat", "dog"])
        table = [[*row, names[k]] for row, k in zip(logits.tolist(), rng.integers(0, 2, 80), strict=True)]
        lines = ["logit_cat,logit_dog,label", *(",".join(map(str, row)) for row in table)]
        path = write(tmp_path / "val.csv", "\n".join(lines))
        assert command("fit", path, "-o", tmp_path / "cal.json")[0] == 0
        return tmp_path / "cal.json"

    @pytest.mark.parametrize("suffix", [".csv", ".tsv", ".npz", ".parquet"])
    def test_ids_and_other_columns_travel(self, command, cal, tmp_path, suffix):
        if suffix == ".parquet":
            pytest.importorskip("pyarrow")
        path, out = write(tmp_path / "new.csv", self.TEXT), tmp_path / f"out{suffix}"
        assert command("apply", cal, path, "-o", out)[0] == 0
        p = calkit.load_predictions(out, labelled=False, columns="all")
        assert {name: values.tolist() for name, values in p.columns.items()} == {
            "id": ["x1", "x2"],
            "site": ["A", "B"],
            "note": ["hello", "world"],
        }
        temperature = calkit.load_calibrator(cal).temperature_
        logits = np.array([[1.5, -1], [-0.5, 0.25]]) / temperature
        expected = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
        np.testing.assert_allclose(np.asarray(p.scores), expected, rtol=1e-12)

    def test_labels_are_written_by_name(self, command, cal, tmp_path):
        path = write(
            tmp_path / "new.csv", self.TEXT.replace("note", "label").replace("hello", "dog").replace("world", "cat")
        )
        assert command("apply", cal, path, "-o", tmp_path / "out.csv", "--columns", "site")[0] == 0
        rows = list(csv.DictReader(io.StringIO((tmp_path / "out.csv").read_text())))
        assert [(row["labels"], row["site"]) for row in rows] == [("dog", "A"), ("cat", "B")]
        assert list(rows[0]) == ["probs_cat", "probs_dog", "labels", "site"]
        assert command("apply", cal, path, "-o", tmp_path / "none.csv", "--columns", "none")[0] == 0
        assert (tmp_path / "none.csv").read_text().splitlines()[0] == "probs_cat,probs_dog,labels"

    def test_of_many_files(self, command, cal, tmp_path):
        for i, line in enumerate(self.TEXT.splitlines()[1:]):
            write(tmp_path / f"part-{i}.csv", f"{self.TEXT.splitlines()[0]}\n{line}\n")
        assert command("apply", cal, tmp_path / "part-*.csv", "-o", tmp_path / "out.csv")[0] == 0
        assert command("apply", cal, write(tmp_path / "new.csv", self.TEXT), "-o", tmp_path / "all.csv")[0] == 0
        assert (tmp_path / "out.csv").read_text() == (tmp_path / "all.csv").read_text()

    def test_they_are_not_evaluated(self, command, tmp_path):
        code, _, err = command("evaluate", write(tmp_path / "new.csv", self.TEXT))
        assert code == 2
        assert "--labels" in err


@pytest.mark.parametrize("command_line", ["evaluate {}", "plot {} -o {}.png"])
def test_groups_are_columns_of_the_file(command, tmp_path, command_line):
    text = "site,prob_0,prob_1,label\nA,.9,.1,0\nB,.4,.6,1\nA,.3,.7,0\nB,.2,.8,1\n"
    path = write(tmp_path / "a.csv", text)
    code, _, err = command(*command_line.format(path, path).split(), "--by", "site")
    assert code == 0, err


class TestShow:
    def test_which_column_is_which_class(self, command, tmp_path):
        path = write(tmp_path / "a.csv", "logit_2,logit_10,logit_1,logit_max,label\n0,1,2,2,1\n3,0,1,3,2\n")
        code, out, _ = command("show", path)
        assert code == 0
        line = next(line for line in out.splitlines() if line.startswith(" logit:"))
        assert line == " logit: 1 = logit_1, 2 = logit_2, 10 = logit_10; left out: logit_max"
        (found, _) = json.loads(command("show", path, "--format", "json")[1])["arrays"]
        assert (found["columns"], found["members"]) == (["1", "2", "10"], ["logit_1", "logit_2", "logit_10"])
        assert found["left_out"] == ["logit_max"]
        code, _, err = command("evaluate", path)
        assert code == 0
        assert "logit_max is left out, since it is none of the classes 1, 2, 10" in err

    def test_labels_beyond_all_types(self, command, tmp_path):
        path = write(
            tmp_path / "a.json", json.dumps([{"logits": [1, 2], "label": 10**30}, {"logits": [1, 2], "label": 1}])
        )
        for form in ("table", "json"):
            code, out, err = command("show", path, "--format", form)
            assert (code == 0 and str(10**30) in out) or "64 bits" in err

    def test_labels_that_are_missing(self, command, tmp_path):
        np.savez(tmp_path / "a.npz", logits=np.eye(2), labels=[np.nan, 1])
        code, out, _ = command("show", tmp_path / "a.npz", "--format", "json")
        assert code == 0
        json.loads(out)


def texts(node):
    """All texts of plain data."""
    if isinstance(node, str):
        yield node
    for child in node.values() if isinstance(node, dict) else node if isinstance(node, list) else ():
        yield from texts(child)


CONTROL = "\x1b[31m\x9b\x07"


class TestControlCharacters:
    @pytest.fixture
    def odd(self, tmp_path):
        rng = np.random.default_rng(0)
        arrays = {f"{split}_{name}": values for split in ("val", "test") for name, values in
                  {"logits": 2 * rng.standard_normal((40, 3)), "labels": rng.integers(0, 3, 40)}.items()}  # fmt: skip
        np.savez(tmp_path / f"a{CONTROL}.npz", **arrays, **{f"x{CONTROL}": np.zeros(3)})
        return tmp_path / f"a{CONTROL}.npz"

    @pytest.mark.parametrize(
        "words",
        [
            "show {}",
            "show {} --format json",
            "evaluate {}",
            "evaluate {} --format json",
            "evaluate {} --format csv",
            "evaluate {} --format md",
            "evaluate {} --scores y",
            "evaluate {}.none",
            "fit {} -o {}.json",
            "convert {} {}.csv --split test",
            "report {} --format json --no-intervals",
        ],
    )
    def test_never_reach_the_terminal(self, command, odd, words):
        _, out, err = command(*(word.format(odd) for word in words.split()))
        assert out + err
        assert not set(CONTROL) - set("[31m") & set(out + err)
        if "--format json" in words:
            # Programs get the name itself.
            assert any(CONTROL in text for text in texts(json.loads(out)))

    def test_leave_pictures_well_formed(self, command, odd, tmp_path):
        from xml.etree import ElementTree as ET

        for words in (["plot"], ["plot", "-m", "temperature"]):
            code, _, err = command(*words, odd, "-o", tmp_path / "a.svg")
            assert code == 0, err
            ET.parse(tmp_path / "a.svg")


def test_a_pattern_of_several_models_is_warned_of_once(tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name in ("resnet", "densenet"):
        np.savez(f"{name}.npz", logits=np.eye(3), labels=[0, 1, 2])
    assert run(["evaluate", "*.npz"]) == 0
    told = capsys.readouterr()
    assert "samples" in told.out
    assert told.err.count("are taken together, though their names differ") == 1


@pytest.mark.parametrize(
    "command", ["apply", "bench-calibrators", "compare", "convert", "evaluate", "fit", "plot", "report", "test"]
)
def test_help_has_the_own_options_of_a_command_first(calkit_cli, command):
    code, out, _ = calkit_cli(command, "--help")
    assert code == 0
    own, of_the_file = out.split("\nOptions:")[1].split("\nWhat is what in the file:")
    assert "--labels NAME|FILE" not in own
    assert "--help" in own
    assert own.split()[0].startswith("-")
    assert "--labels NAME|FILE" in of_the_file
    assert "--output" not in of_the_file
