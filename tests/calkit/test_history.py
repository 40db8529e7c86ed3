"""Training histories: what is drawn is what the records hold, for one run and for several."""

import itertools
import json

import numpy as np
import pytest

from calkit.cli.app import run as run_cli
from calkit.errors import FileFormatError, InputError, NotFoundError, UsageError
from calkit.plotting import HistoryDisplay, available_panels, history, plot_history
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
            "train_loss": 2.0 * epoch,
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
    train, test, errors, mce, *_ = figure.axes
    assert train.get_title() == "NLL and entropy, train"
    # Figure 1 (a): NLL of all, correct, misclassified; entropy of correct and misclassified.
    first = [records()[0]["train"][k] for k in ("nll", "nll_correct", "nll_misclassified")]
    first += [records()[0]["train"][f"entropy_{k}"] for k in ("correct", "misclassified")]
    assert [y[0] for _, y in lines_of(train)] == first
    assert [y[0] - 200 for _, y in lines_of(test)] == first
    # Figure 1 (c): errors of both parts and the ECE of the test part, in percent; and the AdaECE.
    parts = (("train", "error"), ("test", "error"), ("test", "ece"), ("test", "adaece"))
    assert [y[0] for _, y in lines_of(errors)] == [100 * records()[0][p][k] for p, k in parts]
    assert lines_of(mce)[0][1] == [100 * r["test"]["mce"] for r in records()]
    assert lines_of(errors)[0][0] == [1, 2, 3]
    assert [text.get_text() for text in errors.get_legend().get_texts()] == ["error, train", "error", "ECE", "AdaECE"]
    by_title = {axes.get_title(): lines_of(axes) for axes in figure.axes}
    assert by_title["Training loss"] == [([1, 2, 3], [2, 4, 6])]
    assert by_title["Learning rate"] == [([1, 2, 3], [0.1] * 3)]


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
    (legend,) = figure.legends
    assert [text.get_text() for text in legend.get_texts()] == ["ce", "focal:3"]
    for sign in ("get_color", "get_marker"):
        assert [getattr(h, sign)() for h in legend.get_lines()] == [getattr(line, sign)() for line in norm.lines]
    assert all(axes.get_legend() is None for axes in figure.axes)


def seen(colour, matrix):
    """CIELAB of a colour; the matrices are those of Machado, Oliveira & Fernandes 2009, for severity 1."""
    channels = np.array([int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)])
    linear = np.where(channels <= 0.04045, channels / 12.92, ((channels + 0.055) / 1.055) ** 2.4)
    to_xyz = np.array([[0.4124, 0.3576, 0.1805], [0.2126, 0.7152, 0.0722], [0.0193, 0.1192, 0.9505]])
    xyz = to_xyz @ np.clip(matrix @ linear, 0, 1) / np.array([0.9505, 1, 1.089])
    f = np.where(xyz > 0.008856, np.cbrt(xyz), 7.787 * xyz + 16 / 116)
    return np.array([116 * f[1] - 16, 500 * (f[0] - f[1]), 200 * (f[1] - f[2])])


@pytest.mark.parametrize(
    "matrix",
    [
        np.eye(3),
        [[0.367322, 0.860646, -0.227968], [0.280085, 0.672501, 0.047413], [-0.01182, 0.04294, 0.968881]],
        [[0.152286, 1.052583, -0.204868], [0.114503, 0.786281, 0.099216], [-0.003882, -0.048116, 1.051998]],
        [[1.255528, -0.076749, -0.178779], [-0.078411, 0.930809, 0.147602], [0.004733, 0.691367, 0.3039]],
    ],
    ids=["all", "deuteranopia", "protanopia", "tritanopia"],
)
def test_colours_stay_apart_for_the_colour_blind(matrix):
    groups = [colour for colour, _ in history._GROUPS.values()]
    for colours, least in ((history.COLOURS, 17), (groups[:3], 14)):
        seen_as = [seen(colour, np.array(matrix)) for colour in colours]
        assert min(np.linalg.norm(a - b) for a, b in itertools.combinations(seen_as, 2)) >= least


def test_markers_thin_out():
    display = HistoryDisplay({"a": records(100), "b": records(7)})
    long, short = plot_history(display, panels="nll").axes[0].lines
    assert long.get_markevery() == (0, 9)
    assert short.get_markevery() == (0, 1)


def test_keys_are_what_the_legend_says():
    one, two = HistoryDisplay({"a": records()}), HistoryDisplay({"a": records(), "b": records()})
    assert one.keys("nll") == []
    assert [label for label, *_ in one.keys("confidence")] == ["all", "correct", "misclassified"]
    assert [label for label, *_ in two.keys("confidence")] == ["a", "b"]
    line = plot_history(two, panels="nll").axes[0].lines[1]
    assert two.keys("nll")[1] == ("b", line.get_color(), line.get_marker(), False)


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
    assert HistoryDisplay({"run": [{"epoch": 1, "test": {"nll": 0.5}, "train": 3}]}).panels() == ["test"]


def test_into_axes_of_ones_own(no_pyplot_windows):
    figure, axes = no_pyplot_windows.subplots(1, 2)
    display = HistoryDisplay({"run": records()}).plot(axes, panels=["nll", "ece"])
    assert display.axes_ == list(axes)
    assert display.figure_ is figure
    assert [
        text.get_text()
        for text in HistoryDisplay({"a": records(), "b": records()})
        .plot(axes, panels=["nll", "ece"])
        .axes_[0]
        .get_legend()
        .get_texts()
    ] == ["a", "b"]
    with pytest.raises(InputError, match="3 panels, but only 2 axes"):
        display.plot(axes, panels=["nll", "ece", "norm"])


def test_names_are_shown_as_they_are():
    # Between dollars matplotlib would set a formula, and a leading underscore would leave the name out.
    display = HistoryDisplay({r"_$\frac$": records(), "b": records()})
    figure = plot_history(display, panels="nll", title=r"$\frac$")
    figure.canvas.draw()
    assert figure.legends[0].get_texts()[0].get_text().strip() == r"_\$\frac\$"


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
    display = HistoryDisplay({"a": [{"epoch": 1, "seconds": 0.1}]})
    with pytest.raises(InputError, match=r"nothing to draw of the part 'test': \.epoch, \.seconds"):
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
            (["a", "--history", "-m", "temperature", "-o", "x.png"], 2, "leave --method"),
            (["none", "--history", "-o", "x.png"], 1, "no folder"),
            (["a", "--history", "--panels", "eec", "-o", "x.png"], 2, "Did you mean 'ece'"),
            (["a", "--history", "-o", "x.docx"], 2, "a picture needs a suffix"),
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


def test_a_size_sets_the_columns_and_the_legend_stays_inside():
    runs = {"cifar10 small-resnet cross-entropy": records(), "cifar10 small-resnet focal loss": records()}
    display = HistoryDisplay(runs)
    assert plot_history(display, panels=["nll", "test.error"]).axes[1].get_subplotspec().colspan.start == 1
    figure = plot_history(display, panels=["nll", "test.error"], size=(3.4, 5))
    assert figure.get_size_inches().tolist() == [3.4, 5]
    assert [ax.get_subplotspec().colspan.start for ax in figure.axes] == [0, 0]
    figure.draw_without_rendering()
    box = figure.legends[0].get_window_extent()
    assert figure.bbox.x0 <= box.x0
    assert box.x1 <= figure.bbox.x1
    with pytest.raises(InputError, match=r"3\.4 by 2 inches are too few for 2 rows of 1 panel"):
        plot_history(display, panels=["nll", "test.error"], size=(3.4, 2))
