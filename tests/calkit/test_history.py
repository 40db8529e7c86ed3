"""Training histories: what is drawn is what the records hold, for one run and for several."""

import json

import numpy as np
import pytest

from calkit.cli.app import run as run_cli
from calkit.errors import FileFormatError, InputError, NotFoundError, UsageError
from calkit.plotting import HistoryDisplay, available_panels, plot_history
from calkit.plotting.panels import COMPARISON, ONE_RUN

OUTCOMES = ("", "_correct", "_misclassified")


def part(start):
    """Values of one part that are all different: start, start + 1, ..."""
    keys = [f"{key}{outcome}" for key in ("nll", "entropy", "confidence", "p_true") for outcome in OUTCOMES]
    return {key: start + i for i, key in enumerate([*keys, "ece", "adaece", "mce", "error"])}


def records(n=3, offset=0.0):
    return [
        {
            "epoch": epoch,
            "lr": 0.1,
            "last_layer_norm": epoch + offset,
            "train": part(epoch + offset),
            "validation": part(100 + epoch + offset),
            "test": part(200 + epoch + offset),
        }
        for epoch in range(1, n + 1)
    ]


def write_run(folder, loss="ce", lines=None):
    folder.mkdir(parents=True)
    (folder / "recipe.toml").write_text(f'dataset = "digits"\nmodel = "mlp"\nloss = "{loss}"\n')
    (folder / "history.jsonl").write_text("".join(json.dumps(r) + "\n" for r in (lines or records())))
    return folder


def lines_of(axes):
    return [(line.get_xdata().tolist(), line.get_ydata().tolist()) for line in axes.lines]


def test_one_run_has_the_panels_of_figure_1():
    display = HistoryDisplay({"run": records()})
    assert display.panels() == list(ONE_RUN)
    figure = plot_history(display)
    train, test, errors, *_ = figure.axes
    assert train.get_title() == "NLL and entropy, train"
    # Figure 1 (a): NLL of all, correct, misclassified; entropy of correct and misclassified.
    first = [records()[0]["train"][k] for k in ("nll", "nll_correct", "nll_misclassified")]
    first += [records()[0]["train"][f"entropy_{k}"] for k in ("correct", "misclassified")]
    assert [y[0] for _, y in lines_of(train)] == first
    assert [y[0] - 200 for _, y in lines_of(test)] == first
    # Figure 1 (c): errors of both parts and the ECE of the test part, in percent.
    expected = [100 * records()[0][p][k] for p, k in (("train", "error"), ("test", "error"), ("test", "ece"))]
    assert [y[0] for _, y in lines_of(errors)] == expected
    assert lines_of(errors)[0][0] == [1, 2, 3]
    assert [text.get_text() for text in errors.get_legend().get_texts()] == ["error, train", "error", "ECE"]


def test_several_runs_have_the_panels_of_figure_3():
    display = HistoryDisplay({"ce": records(), "focal:3": records(2, 0.5)})
    assert display.panels() == list(COMPARISON)
    assert list(COMPARISON[:8]) == [
        "nll",
        "nll_correct",
        "nll_misclassified",
        "entropy_misclassified",
        "p_true_correct",
        "p_true_misclassified",
        "ece",
        "norm",
    ]
    figure = plot_history(display, title="both")
    norm = figure.axes[7]
    assert lines_of(norm) == [([1, 2, 3], [1, 2, 3]), ([1, 2], [1.5, 2.5])]
    assert norm.lines[0].get_color() != norm.lines[1].get_color()
    legend = figure.axes[0].get_legend()
    assert [text.get_text() for text in legend.get_texts()] == ["ce", "focal:3"]
    assert [h.get_color() for h in legend.get_lines()] == [line.get_color() for line in norm.lines]
    assert norm.get_legend() is None


def test_parts_and_values_by_name():
    display = HistoryDisplay({"run": records()}, part="validation")
    figure = plot_history(display, panels=["nll", "train.adaece", ".lr"])
    titles = [axes.get_title() for axes in figure.axes]
    assert titles == ["NLL, validation", "adaece, train", "lr"]
    assert lines_of(figure.axes[0])[0][1] == [r["validation"]["nll"] for r in records()]
    assert lines_of(figure.axes[2])[0][1] == [0.1, 0.1, 0.1]
    assert display.values("run", "nll", "train").tolist() == [1, 2, 3]
    for name in available_panels():
        plot_history(display, panels=name)


def test_missing_values_are_gaps(no_pyplot_windows):
    # No sample is misclassified in epoch 2: JSON has null for its mean.
    lines = records()
    lines[1]["test"]["nll_misclassified"] = None
    del lines[2]["train"]
    display = HistoryDisplay({"run": lines}).plot(panels="nll_misclassified")
    np.testing.assert_array_equal(display.axes_[0].lines[0].get_ydata(), [203, np.nan, 205])
    assert np.isnan(display.values("run", "nll", "train")[2])
    assert HistoryDisplay({"run": [{"epoch": 1, "test": {"nll": 0.5}}]}).panels() == ["test"]


def test_into_axes_of_ones_own(no_pyplot_windows):
    figure, axes = no_pyplot_windows.subplots(1, 2)
    display = HistoryDisplay({"run": records()}).plot(axes, panels=["nll", "ece"])
    assert display.axes_ == list(axes)
    assert display.figure_ is figure
    with pytest.raises(InputError, match="3 panels, but only 2 axes"):
        display.plot(axes, panels=["nll", "ece", "norm"])


def test_names_are_shown_as_they_are():
    # Between dollars matplotlib would set a formula, and a leading underscore would leave the name out.
    display = HistoryDisplay({r"_$\frac$": records(), "b": records()})
    figure = plot_history(display, panels="nll", title=r"$\frac$")
    figure.canvas.draw()
    assert figure.axes[0].get_legend().get_texts()[0].get_text().strip() == r"_\$\frac\$"


def test_run_folders(tmp_path):
    first, second = write_run(tmp_path / "a"), write_run(tmp_path / "b", "FLA-53")
    assert list(HistoryDisplay.from_run(first).histories) == ["digits mlp ce"]
    both = HistoryDisplay.from_runs([first, str(second)])
    assert list(both.histories) == ["digits mlp ce", "digits mlp FLA-53"]
    assert both.values("digits mlp ce", "ece").tolist() == [r["test"]["ece"] for r in records()]
    alike = HistoryDisplay.from_runs([first, first])
    assert list(alike.histories) == ["digits mlp ce (1)", "digits mlp ce (2)"]
    named = HistoryDisplay.from_runs({"mine": first})
    assert list(named.histories) == ["mine"]


def test_bad_input(tmp_path):
    with pytest.raises(InputError, match="at least one run"):
        HistoryDisplay({})
    with pytest.raises(InputError, match="'a' is empty: the run has not finished an epoch"):
        HistoryDisplay({"a": []})
    with pytest.raises(UsageError, match="part must be"):
        HistoryDisplay({"a": records()}, part="dev")
    display = HistoryDisplay({"a": [{"epoch": 1, "lr": 0.1}]})
    with pytest.raises(InputError, match=r"nothing to draw of the part 'test': \.epoch, \.lr"):
        plot_history(display)
    with pytest.raises(InputError, match="no history has a value for the panel 'ece'"):
        plot_history(display, panels=["ece"])
    with pytest.raises(NotFoundError, match="Did you mean 'nll'"):
        plot_history(display, panels="nlll")
    with pytest.raises(FileFormatError, match="no folder"):
        HistoryDisplay.from_run(tmp_path / "none")
    with pytest.raises(FileFormatError, match=r"recipe\.toml"):
        HistoryDisplay.from_run(tmp_path)


class TestCommand:
    @pytest.fixture
    def call(self, capsys):
        def call(*args):
            code = run_cli([str(a) for a in args])
            return (code, *capsys.readouterr())

        return call

    def test_draws(self, call, tmp_path):
        first, second = write_run(tmp_path / "a"), write_run(tmp_path / "b", "FLA-53")
        target = tmp_path / "history.png"
        assert call("plot", first, second, "--history", "-o", target) == (0, f"wrote {target}\n", "")
        assert target.read_bytes().startswith(b"\x89PNG")
        code, _, err = call("plot", first, "--history", "--panels", "nll, .lr", "--part", "train", "-o", target)
        assert (code, err) == (0, "")

    @pytest.mark.parametrize(
        ("args", "code", "message"),
        [
            (["a", "-o", "x.png", "--panels", "nll"], 2, "--panels belongs to --history"),
            (["a", "a", "-o", "x.png"], 2, "one file makes a diagram, but there are 2"),
            (["a", "--history", "-m", "temperature", "-o", "x.png"], 2, "leave --method"),
            (["none", "--history", "-o", "x.png"], 1, "no folder"),
            (["a", "--history", "--panels", "eec", "-o", "x.png"], 2, "Did you mean 'ece'"),
            (["a", "--history", "-o", "x.docx"], 2, "pictures are written as"),
        ],
    )
    def test_one_error(self, call, tmp_path, monkeypatch, args, code, message):
        write_run(tmp_path / "a")
        monkeypatch.chdir(tmp_path)
        found, out, err = call("plot", *args)
        assert (found, out) == (code, "")
        assert message in err
        assert err.count("\n") == 1
        assert [p.name for p in tmp_path.iterdir()] == ["a"]

    def test_broken_line(self, call, tmp_path):
        run = write_run(tmp_path / "a")
        run.joinpath("history.jsonl").write_text('{"epoch": 1}\n{"epoch": \n')
        code, _, err = call("plot", run, "--history", "-o", tmp_path / "x.png")
        assert code == 1
        assert "history.jsonl, line 2, is damaged" in err
        assert not (tmp_path / "x.png").exists()
