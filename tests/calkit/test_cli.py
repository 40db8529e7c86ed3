"""The command line as a stranger uses it: real processes where the exit code or the streams matter."""

import csv
import io
import json
import shlex
import shutil
import signal
import subprocess
import sys
import time

import numpy as np
import pytest
from click.shell_completion import ShellComplete

import calkit
import calkit.cli
from calkit.cli import cli, terminal
from calkit.cli.app import run
from calkit.cli.thresholds import parse_threshold
from calkit.datasets import digits_path, load_digits_logits
from calkit.errors import FileFormatError, UsageError
from calkit.metrics import get_metric
from tests.processes import interruptible

DIGITS = str(digits_path())


@pytest.fixture
def small(tmp_path):
    """A file with plain logits and labels."""
    rng = np.random.default_rng(0)
    path = tmp_path / "small.npz"
    np.savez(path, logits=5 * rng.standard_normal((60, 3)), labels=rng.integers(0, 3, 60))
    return path


def process(*args, **options):
    command = [sys.executable, "-m", "calkit", *map(str, args)]
    return subprocess.run(command, capture_output=True, text=True, check=False, **options)


def test_every_command_has_help(calkit_cli):
    code, out, _ = calkit_cli("--help")
    assert code == 0
    commands = list(cli.list_commands(None))
    for name in commands:
        assert f"  {name}" in out
        code, text, _ = calkit_cli(name, "--help")
        assert code == 0
        assert "--debug" in text
        summary = next(line for line in out.splitlines() if line.startswith(f"  {name} "))
        assert summary.split(maxsplit=1)[1] == cli.get_command(None, name).get_short_help_str(100)
        assert not summary.endswith("...")
        assert "\\b" not in text  # click's mark of a paragraph to be left alone, shown if the docstring is raw
    assert calkit_cli("--version")[1].startswith("calkit, version ")


class TestEvaluate:
    def test_all_splits_side_by_side(self, calkit_cli):
        code, out, err = calkit_cli("evaluate", DIGITS)
        assert (code, err) == (0, "")
        assert "validation" in out
        ece = calkit.evaluate(load_digits_logits("test"), ["ece"])["ece"]
        assert f"{100 * ece:.2f}" in next(line for line in out.splitlines() if line.strip().startswith("ECE %"))

    def test_json_is_the_evaluation(self, calkit_cli):
        code, out, _ = calkit_cli("evaluate", DIGITS, "--split", "test", "--format", "json")
        assert code == 0
        (found,) = json.loads(out)
        assert found == calkit.evaluate(load_digits_logits("test")).to_dict()

    def test_csv_and_markdown(self, calkit_cli):
        options = ["--metrics", "ece,ece:n_bins=25,binning=quantile,s99_accuracy:threshold=1.0"]
        _, out, _ = calkit_cli("evaluate", DIGITS, "--format", "csv", *options)
        rows = list(csv.DictReader(io.StringIO(out)))
        assert [row["split"] for row in rows] == ["validation", "test"]
        expected = calkit.evaluate(load_digits_logits("test"), ["ece:n_bins=25,binning=quantile"])
        assert float(rows[1]["ece:n_bins=25,binning=quantile"]) == next(iter(expected.values()))
        _, out, _ = calkit_cli("evaluate", DIGITS, "--format", "md")
        lines = out.splitlines()
        assert r"\|S99\| %" in lines[0]
        assert len(lines) == 4

    def test_calibrators_before_and_after(self, calkit_cli, tmp_path):
        code, out, _ = calkit_cli(
            "evaluate", DIGITS, "-m", "temperature", "-m", "temperature:objective=ece", "--format", "json"
        )
        assert code == 0
        before, by_nll, by_ece = json.loads(out)
        assert {r["split"] for r in (before, by_nll, by_ece)} == {"test"}
        validation = load_digits_logits("validation")
        for row, objective in ((by_nll, "nll"), (by_ece, "ece")):
            calibrator = calkit.TemperatureScaling(objective).fit_predictions(validation)
            assert row["calibrator"]["fitted"] == {"temperature": calibrator.temperature_}
            expected = calkit.evaluate(calibrator.apply(load_digits_logits("test")), ["nll"])["nll"]
            assert row["metrics"]["nll"] == expected

    def test_many_files_make_a_long_table(self, calkit_cli, small, tmp_path):
        names = [f"run-{i}.npz" for i in range(5)]
        for name in names:
            shutil.copy(small, tmp_path / name)
        code, out, _ = calkit_cli("evaluate", *[tmp_path / name for name in names], "--metrics", "ece,nll")
        assert code == 0
        assert [line.split()[0] for line in out.splitlines() if ".npz" in line] == names
        assert out.splitlines()[0].split() == ["file", "samples", "ECE", "%", "NLL"]

    @pytest.mark.parametrize("width", [45, 60, 100])
    @pytest.mark.parametrize("n_files", [1, 6])
    @pytest.mark.parametrize("level", [[], ["--confidence-level", "0.9", "--resamples", "20"]])
    def test_tables_fit_the_terminal(self, calkit_cli, small, tmp_path, monkeypatch, width, n_files, level):
        monkeypatch.setattr(terminal, "_terminal_width", lambda: width)
        files = [tmp_path / f"the-name-of-run-{i}.npz" for i in range(n_files)]
        for file in files:
            shutil.copy(small, file)
        monkeypatch.chdir(tmp_path)
        methods = ["-m", "temperature", "-m", "temperature:objective=ece", "--fit-on", "small.npz"]
        command = ["evaluate", *(file.name for file in files), *methods, *level]
        code, out, _ = calkit_cli(*command)
        assert code == 0
        assert max(map(len, out.splitlines())) <= width
        # Nothing is left out: each value that programs get is there.
        for evaluation in json.loads(calkit_cli(*command, "--format", "json")[1]):
            for spec in ("mce", "nll"):
                assert get_metric(spec).format(evaluation["metrics"][spec]) in out
        assert "objective=ece" in out or width < 60
        assert all(file.name in out for file in files) or width < 60

    def test_pairs_beside_full_scores(self, calkit_cli, small, tmp_path):
        np.savez(tmp_path / "pairs.npz", confidence=[0.9, 0.8], correct=[1, 0])
        code, out, _ = calkit_cli("evaluate", small, tmp_path / "pairs.npz")
        assert code == 0
        assert next(line for line in out.splitlines() if line.strip().startswith("NLL")).rstrip().endswith("–")

    def test_output_file(self, calkit_cli, small, tmp_path):
        code, out, _ = calkit_cli("evaluate", small, "--format", "json", "-o", tmp_path / "out.json")
        assert (code, out) == (0, "")
        assert json.loads((tmp_path / "out.json").read_text())[0]["n_samples"] == 60

    def test_fit_on_another_file(self, calkit_cli, small, tmp_path):
        code, _, err = calkit_cli("evaluate", small, "-m", "temperature")
        assert code == 2
        assert "--fit-on" in err
        code, out, _ = calkit_cli(
            "evaluate", small, "-m", "temperature:objective=ece", "--fit-on", small, "--format", "json"
        )
        assert code == 0
        assert json.loads(out)[1]["calibrator"]["spec"] == "temperature:objective=ece"
        code, out, _ = calkit_cli("evaluate", DIGITS, "-m", "temperature", "--fit-on", "test", "--format", "json")
        assert {row["split"] for row in json.loads(out)} == {"validation"}


class TestThresholds:
    @pytest.mark.parametrize(
        ("condition", "code"),
        [("ece>0.05", 3), ("ece>90%", 0), ("accuracy<0.5", 0), ("accuracy<=99%", 3), ("ece:n_bins=25 >= 0.1", 3)],
    )
    def test_exit_code(self, calkit_cli, condition, code):
        found, out, err = calkit_cli("evaluate", DIGITS, "--split", "test", "--fail-if", condition)
        assert found == code
        assert "ECE %" in out
        assert ("failed: " in err) == (code == 3)

    def test_calibrated_values_are_judged(self, calkit_cli):
        assert calkit_cli("evaluate", DIGITS, "--fail-if", "ece>0.05")[0] == 3
        assert calkit_cli("evaluate", DIGITS, "-m", "temperature", "--fail-if", "ece>0.05")[0] == 0

    def test_what_cannot_be_judged_fails(self, calkit_cli, tmp_path):
        np.savez(tmp_path / "a.npz", confidence=[0.5, 0.6], correct=[1, 0])
        assert calkit_cli("evaluate", tmp_path / "a.npz", "--fail-if", "s99_accuracy<0.5")[0] == 3

    @pytest.mark.parametrize("text", ["ece", "ece=0.1", "ece>", ">0.1", "ece>much", "ece>>1"])
    def test_nonsense(self, calkit_cli, text):
        with pytest.raises(UsageError):
            parse_threshold(text)
        assert calkit_cli("evaluate", DIGITS, "--fail-if", text)[0] == 2


class TestFitAndApply:
    def test_round_trip_gives_the_same_numbers(self, calkit_cli, tmp_path):
        cal, out_file = tmp_path / "cal.json", tmp_path / "out.npz"
        code, out, _ = calkit_cli("fit", DIGITS, "-m", "temperature:objective=ece", "-o", cal)
        assert code == 0
        assert "598 rows" in out
        assert calkit_cli("apply", cal, DIGITS, "-o", out_file)[0] == 0
        written = calkit.evaluate(calkit.load_predictions(out_file))
        _, text, _ = calkit_cli("evaluate", DIGITS, "--split", "test", "--calibrator", cal, "--format", "json")
        direct = json.loads(text)[1]["metrics"]
        for name, value in direct.items():
            assert written[name] == pytest.approx(value, abs=1e-12), name
        assert calkit_cli("apply", cal, DIGITS, "--as", "logits", "-o", tmp_path / "out.csv")[0] == 0
        again = calkit.load_predictions(tmp_path / "out.csv")
        assert again.kind == "logits"
        assert calkit.evaluate(again, ["ece"])["ece"] == pytest.approx(direct["ece"], abs=1e-12)

    def test_warnings_are_one_line(self, calkit_cli, tmp_path):
        np.savez(tmp_path / "a.npz", logits=np.eye(3), labels=[0, 1, 2])
        code, _, err = calkit_cli("fit", tmp_path / "a.npz", "-o", tmp_path / "cal.json")
        assert code == 0
        assert err.startswith("calkit: warning: every true class has the largest logit")
        assert len(err.splitlines()) == 1

    def test_a_calibrator_for_other_classes(self, calkit_cli, small, tmp_path):
        calkit_cli("fit", DIGITS, "-o", tmp_path / "cal.json")
        code, _, err = calkit_cli("apply", tmp_path / "cal.json", small, "-o", tmp_path / "out.npz")
        assert code == 1
        assert f"fitted on 10 classes, but {small} has 3" in err
        assert not (tmp_path / "out.npz").exists()


class TestPlotShowDemo:
    @pytest.mark.parametrize("suffix", ["png", "svg", "pdf"])
    def test_plot(self, calkit_cli, tmp_path, suffix):
        target = tmp_path / f"r.{suffix}"
        code, out, err = calkit_cli("plot", DIGITS, "-m", "temperature", "--bins", "25", "-o", target)
        assert (code, err) == (0, "")
        assert str(target) in out
        magic = {"png": b"\x89PNG", "svg": b"<?xml", "pdf": b"%PDF"}[suffix]
        assert target.read_bytes().startswith(magic)

    def test_plot_knows_its_formats(self, calkit_cli, small, tmp_path):
        code, _, err = calkit_cli("plot", small, "-o", tmp_path / "r.docx")
        assert code == 2
        assert ".png" in err
        assert not (tmp_path / "r.docx").exists()

    def test_show(self, calkit_cli):
        code, out, _ = calkit_cli("show", DIGITS)
        assert code == 0
        line = next(line.split() for line in out.splitlines() if line.strip().startswith("val_logits"))
        assert line == ["val_logits", "598", "×", "10", "float32", "logits", "validation"]

    def test_demo(self, tmp_path, monkeypatch):
        done = process("demo", cwd=tmp_path)
        assert (done.returncode, done.stderr) == (0, "")
        assert (tmp_path / "calkit-demo.png").read_bytes().startswith(b"\x89PNG")
        assert "T = 2.5" in done.stdout
        # The commands it prints are run as they stand.
        commands = done.stdout.rpartition("one of yours:\n")[2].splitlines()
        assert len(commands) == 5
        first = subprocess.run(shlex.split(commands[0]), cwd=tmp_path, capture_output=True, text=True, check=True)
        assert "val_logits" in first.stdout
        program = commands[0].partition(" show ")[0]
        monkeypatch.chdir(tmp_path)
        for line in commands[1:]:
            assert run(shlex.split(line.removeprefix(program))) == 0, line
        assert {"reliability.png", "cal.json", "calibrated.npz"} <= {p.name for p in tmp_path.iterdir()}


class TestManyFilesAndFormats:
    @pytest.fixture
    def parts(self, tmp_path):
        """The shipped test split in three files; the whole is their concatenation."""
        test = load_digits_logits("test")
        for i in range(3):
            calkit.save_predictions(test.take(slice(i * 300, (i + 1) * 300)), tmp_path / f"part-{i}.npz")
        return tmp_path / "part-*.npz"

    @pytest.mark.parametrize("options", [[], ["--jobs", "2"], ["--jobs", "1"]])
    def test_a_pattern_is_one_set_of_predictions(self, calkit_cli, parts, options):
        code, out, _ = calkit_cli(
            "evaluate", parts, "-m", "temperature", "--fit-on", parts, "--format", "json", *options
        )
        assert code == 0
        before, after = json.loads(out)
        test = load_digits_logits("test")
        calibrator = calkit.TemperatureScaling().fit_predictions(test)
        for row, predictions in ((before, test), (after, calibrator.apply(test))):
            for name, value in calkit.evaluate(predictions).items():
                assert row["metrics"][name] == pytest.approx(value, abs=1e-9), name

    def test_on_the_workers_of_a_cluster(self, calkit_cli, parts, monkeypatch):
        pytest.importorskip("distributed")
        # Here numba may be loaded already, there it is not; float32 exponentials of the two differ in their last bits.
        monkeypatch.setenv("CALKIT_KERNELS", "numpy")
        arguments = ["evaluate", parts, "-m", "temperature", "--fit-on", parts, "--format", "json"]
        done = process(*arguments, "--dask", "local")
        assert done.returncode == 0, done.stderr
        found = [row["metrics"] for row in json.loads(done.stdout)]
        for row, here in zip(found, json.loads(calkit_cli(*arguments)[1]), strict=True):
            assert row == pytest.approx(here["metrics"], abs=1e-12)

    def test_jobs_must_be_a_number_of_threads(self, calkit_cli, parts):
        code, _, err = calkit_cli("evaluate", parts, "--jobs", "0")
        assert code == 2
        assert "0" in err

    @pytest.mark.parametrize("suffix", ["csv", "tsv", "npz", "csv.gz", "parquet", "safetensors"])
    def test_convert(self, calkit_cli, tmp_path, suffix):
        for library, needed in (("pyarrow", "parquet"), ("safetensors", "safetensors")):
            if suffix == needed:
                pytest.importorskip(library)
        target = tmp_path / f"digits.{suffix}"
        assert calkit_cli("convert", DIGITS, target, "--split", "test")[0] == 0
        found = calkit.evaluate(calkit.load_predictions(target), ["ece", "accuracy", "nll"])
        expected = calkit.evaluate(load_digits_logits("test"), ["ece", "accuracy", "nll"])
        assert dict(found) == pytest.approx(dict(expected), abs=1e-7)

    def test_convert_says_which_splits_there_are(self, calkit_cli, tmp_path):
        code, _, err = calkit_cli("convert", DIGITS, tmp_path / "out.npz")
        assert code == 2
        assert "'validation', 'test'" in err
        assert list(tmp_path.iterdir()) == []

    def test_standard_input_and_output(self, tmp_path):
        calkit.save_predictions(load_digits_logits("test"), tmp_path / "a.csv")
        text = (tmp_path / "a.csv").read_text()
        done = process("evaluate", "-", "--file-format", "csv", "--format", "json", "--metrics", "ece", input=text)
        assert done.returncode == 0, done.stderr
        expected = calkit.evaluate(calkit.load_predictions(tmp_path / "a.csv"), ["ece"])
        assert json.loads(done.stdout)[0]["metrics"] == dict(expected)

    def test_formats_are_listed(self, calkit_cli):
        code, out, _ = calkit_cli("formats")
        assert code == 0
        assert {line.split()[0] for line in out.splitlines()[2:-1]} >= {"npz", "csv", "parquet", "hdf5", "torch"}

    def test_show_as_json_and_with_nan_counted(self, calkit_cli, tmp_path):
        np.savez(tmp_path / "a.npz", logits=[[np.nan, 1.0], [0.0, 2.0]], labels=[0, 1])
        code, out, _ = calkit_cli("show", tmp_path / "a.npz", "--count-nan", "--format", "json")
        assert code == 0
        assert [(a["name"], a["n_nan"]) for a in json.loads(out)["arrays"]] == [("logits", 1), ("labels", 0)]

    def test_pickles_are_read_only_if_trusted(self, calkit_cli, tmp_path):
        import pickle

        test = load_digits_logits("test")
        (tmp_path / "a.pkl").write_bytes(pickle.dumps({"logits": np.asarray(test.scores), "labels": test.y_true}))
        code, _, err = calkit_cli("evaluate", tmp_path / "a.pkl")
        assert code != 0
        assert "trust" in err
        assert calkit_cli("evaluate", tmp_path / "a.pkl", "--trust-pickle")[0] == 0


class TestErrors:
    @pytest.mark.parametrize(
        ("args", "code", "message"),
        [
            (["evaluate", "none.npz"], 1, "none.npz does not exist"),
            (["evaluate", DIGITS, "--split", "tset"], 2, "Did you mean 'test'"),
            (["evaluate", DIGITS, "--metrics", "ecee"], 2, "Did you mean 'ece'"),
            (["evaluate", DIGITS, "--split", "test", "--scores", "x"], 2, "unknown array"),
            (["evaluate", DIGITS, "-m", "temprature"], 2, "Did you mean 'temperature'"),
            (["evaluate", DIGITS, "--calibrator", "none.json"], 1, "none.json"),
            (["evaluate", DIGITS, "--metrics", "ece:n_bins=0"], 2, "metric 'ece:n_bins=0': n_bins must be"),
            (["evaluate", DIGITS, "-m", "temperature", "--fit-on", "v.npz"], 2, "v.npz is no file, nor a split of"),
            (["evaluate"], 2, "Missing argument"),
            (["demo", "extra"], 2, "(extra). See 'calkit demo --help'."),
            (["evaluate", DIGITS, "--format", "xml"], 2, "'xml' is not one of"),
            (["evalute", DIGITS], 2, "evalute"),
            (["fit", DIGITS, "-o", "none/cal.json"], 1, "cannot write"),
            (["plot", DIGITS, "-o", "none/r.png"], 1, "cannot write"),
        ],
    )
    def test_one_line_and_an_exit_code(self, calkit_cli, tmp_path, monkeypatch, args, code, message):
        monkeypatch.chdir(tmp_path)
        found, out, err = calkit_cli(*args)
        assert found == code
        assert message in err
        assert out == ""
        assert "Traceback" not in err
        assert list(tmp_path.iterdir()) == []

    @pytest.mark.parametrize(
        ("arrays", "code", "message"),
        [
            ({"logits": [[np.nan, 1.0]], "labels": [0]}, 1, "row 0 holds nan"),
            ({"logits": [[0.0, 1.0]], "labels": [2]}, 1, "row 0 is 2"),
            ({"probs": [[0.4, 0.4]], "labels": [0]}, 1, "sums to 0.8"),
            ({"logits": np.zeros((0, 2)), "labels": []}, 1, "no rows"),
            ({"logits": [[0.0, 1.0]]}, 2, "--labels"),
            ({"probs": [0.9, 0.6], "correct": [1, 0]}, 2, "--kind confidence"),
            ({"x": [[0.0, 1.0]]}, 2, "--scores"),
            ({"logits": np.zeros((2, 2, 2)), "labels": [0, 1]}, 1, "shape"),
            ({"logits": [[0.0, 1.0]], "labels": [0, 1]}, 1, "y_true has 2 rows, but the scores have 1"),
            ({"confidence": [0.5, 1.5], "correct": [0, 1]}, 1, "row 1 holds 1.5"),
            ({"confidence": [0.5, 0.5], "correct": ["yes", "maybe"]}, 1, "row 1 is 'maybe'"),
            ({"scores": [[0.0, 1.0]], "labels": [0]}, 2, "--kind"),
        ],
    )
    def test_bad_arrays(self, calkit_cli, tmp_path, arrays, code, message):
        path = tmp_path / "bad.npz"
        np.savez(path, **{name: np.asarray(values) for name, values in arrays.items()})
        found, out, err = calkit_cli("evaluate", path)
        assert (found, out) == (code, "")
        assert message in err
        assert "bad.npz" in err
        assert len(err.splitlines()) == 1

    def test_debug_shows_the_traceback(self, tmp_path):
        done = process("evaluate", tmp_path / "none.npz", "--debug")
        assert done.returncode == 1
        assert "Traceback" in done.stderr
        with pytest.raises(FileFormatError, match="does not exist"):
            run(["--debug", "evaluate", str(tmp_path / "none.npz")])

    def test_a_reader_that_leaves(self):
        done = subprocess.run(
            f"{sys.executable} -m calkit evaluate {DIGITS} --format csv | true",
            shell=True,
            capture_output=True,
            text=True,
        )
        assert "Traceback" not in done.stderr
        assert "BrokenPipe" not in done.stderr

    @pytest.mark.skipif(sys.platform == "win32", reason="sends SIGINT")
    def test_interrupt_leaves_nothing(self, tmp_path):
        source = tmp_path / "big.npz"
        np.savez(source, logits=np.zeros((1_000_000, 10), np.float32), labels=np.zeros(1_000_000, np.uint8))
        command = interruptible("calkit", "convert", source, tmp_path / "out.csv")
        with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as running:
            try:
                # As soon as it has begun to write, in a file of another name, it is interrupted.
                while len(list(tmp_path.iterdir())) == 1:
                    assert running.poll() is None
                    time.sleep(0.01)
                running.send_signal(signal.SIGINT)
                _, err = running.communicate(timeout=120)
            finally:
                running.kill()
        assert running.returncode == 130
        assert err == "calkit: interrupted; nothing was left half-written.\n"
        assert list(tmp_path.iterdir()) == [source]


class TestCompletion:
    """What the shell offers, asked as click's scripts for bash ask."""

    @pytest.mark.parametrize(
        ("words", "offered"),
        [
            (["plot", "a.npz", "--what", "reliab"], {"reliability"}),
            (["plot", "--what", "gradient-r"], {"gradient-ratio"}),
            (["evaluate", "a.npz", "--metrics", "nll,cla"], {"nll,classwise_ece"}),
            (["evaluate", "a.npz", "--target", "posi"], {"positive", "positive:class="}),
            (["report", "a.npz", "-m", "temp"], {"temperature"}),
            (["fit", "a.npz", "--method", "isot"], {"isotonic"}),
            (["bench-calibrators", "a.npz", "-m", "vecto"], {"vector"}),
            (["compare", "a.npz", "--metrics", "brie"], {"brier"}),
            (["test", "a.npz", "--target", "ordi"], {"ordinal"}),
        ],
    )
    def test_offers_values(self, words, offered):
        found = ShellComplete(cli, {}, "calkit", "_CALKIT_COMPLETE").get_completions(words[:-1], words[-1])
        assert {item.value for item in found} >= offered
        assert all(item.value.startswith(words[-1]) for item in found)


def test_interrupt_while_modules_are_loaded_ends_in_one_line(monkeypatch, capsys):
    class Interrupting:
        @staticmethod
        def find_spec(name, path=None, target=None):
            if name == "calkit.cli.app":
                raise KeyboardInterrupt

    monkeypatch.delitem(sys.modules, "calkit.cli.app")
    monkeypatch.setattr(sys, "meta_path", [Interrupting, *sys.meta_path])
    with pytest.raises(SystemExit) as left:
        calkit.cli.main(["metrics"])
    assert left.value.code == 130
    assert capsys.readouterr().err == "calkit: interrupted; nothing was left half-written.\n"
