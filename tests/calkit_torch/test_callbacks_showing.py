"""Console and TensorBoard: what a person sees."""

from __future__ import annotations

import importlib
import io
import sys

import pytest
from rich.console import Console as Terminal

from calkit.errors import MissingDependencyError, UsageError
from calkit_torch.data import get_dataset
from calkit_torch.training import Recipe, train
from calkit_torch.training.callbacks import CalibrationHistory, Console, EarlyStopping, GradientNorms, TensorBoard
from calkit_torch.training.callbacks import console as console_module
from calkit_torch.training.distributed import Processes
from calkit_torch.training.setup import build_state

DIGITS = get_dataset("digits")
RECIPE = Recipe("digits", "mlp:hidden=16", "ce", optimiser="adam:0.003", epochs=3)


def terminal(**options):
    return Terminal(file=io.StringIO(), force_terminal=True, width=100, color_system=None, **options)


def shown(screen):
    return screen.file.getvalue()


def test_a_line_an_epoch_and_progress_with_the_time_left(tmp_path, monkeypatch):
    monkeypatch.setattr(console_module, "_SECONDS_BETWEEN", 0.0)
    screen = terminal()
    callbacks = [CalibrationHistory(train=False), Console(screen)]
    run = train(RECIPE, DIGITS, out=tmp_path / "run", device="cpu", callbacks=callbacks)
    # What is drawn over stands between carriage returns; lines end where an epoch does.
    lines = [line.split("\r")[-1].removeprefix("\x1b[2K") for line in shown(screen).split("\n")]
    for line, record in zip(lines, run.history, strict=False):
        error, ece = (100 * record["validation"][name] for name in ("error", "ece"))
        assert line.startswith(f"epoch {record['epoch']}/3  loss {record['train_loss']:.4f}  ")
        assert f"validation: Error {error:.2f} %, ECE {ece:.2f} %" in line
    assert lines[3].endswith(f"in all; {tmp_path / 'run'}")
    assert "epoch 3/3 ━━━━━━━━━━━━━━━━━━━━━━━━ 100%  0:00:00 left" in shown(screen)
    assert "epoch 1/3" in shown(screen).split(" left")[0]


def test_progress_is_not_drawn_after_each_of_many_batches(tmp_path, monkeypatch):
    monkeypatch.setattr(console_module, "_SECONDS_BETWEEN", 3600.0)
    screen = terminal()
    train(RECIPE, DIGITS, out=tmp_path / "run", device="cpu", callbacks=[Console(screen)])
    assert shown(screen).count("left") <= 1


def test_the_time_left():
    """Two of eight batches an epoch, three epochs, ten seconds: 22 batches at five seconds each."""
    state = build_state(RECIPE, DIGITS, Processes(), run=None)
    state.step = 2
    line = Console(terminal())._progress(state, elapsed=10.0).plain
    assert state.n_batches == 8
    assert line.endswith("   8%  0:01:50 left  0.2 batches/s")


def test_a_line_an_epoch_where_there_is_no_terminal_and_nothing_on_other_ranks(tmp_path, capfd):
    train(RECIPE, DIGITS, out=tmp_path / "run", device="cpu", callbacks=[Console()])
    out, err = capfd.readouterr()
    assert out == ""
    lines = err.splitlines()
    assert len(lines) == RECIPE.epochs + 1
    assert all(line.lstrip().startswith(f"epoch {i}/{RECIPE.epochs}") for i, line in enumerate(lines[:-1], 1))
    assert "in all" in lines[-1]
    assert "\x1b" not in err
    state = build_state(RECIPE, DIGITS, Processes(rank=1, world_size=2), run=None)
    screen = terminal()
    for hook in ("on_start", "on_batch_end", "on_epoch_end", "on_end"):
        getattr(Console(screen), hook)(state)
    assert shown(screen) == ""


def test_why_it_stopped_and_that_it_was_resumed():
    state = build_state(RECIPE, DIGITS, Processes(), run=None)
    screen = terminal()
    callback = Console(screen)
    state.step, state.epoch, state.stop = 9, 1, "ece has not been better"
    callback.on_start(state)
    callback.on_end(state)
    assert "resumed in epoch 2 after 9 batches" in shown(screen)
    assert "stopped: ece has not been better; 0:00:00 in all" in shown(screen)


def test_a_run_that_has_ended_is_not_said_to_go_on():
    state = build_state(RECIPE, DIGITS, Processes(), run=None)
    state.step, state.epoch = 9 * RECIPE.epochs, RECIPE.epochs
    screen = terminal()
    Console(screen).on_start(state)
    assert "all epochs are done already" in shown(screen)
    assert "resumed" not in shown(screen)


def events(folder):
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    found = EventAccumulator(str(folder))
    found.Reload()
    return found


def test_tensorboard_shows_the_history(tmp_path):
    callbacks = [CalibrationHistory(train=False), GradientNorms([2]), TensorBoard()]
    run = train(RECIPE, DIGITS, out=tmp_path / "run", device="cpu", callbacks=callbacks)
    found = events(run.path / "tensorboard")
    for split in ("validation", "test"):
        curve = found.Scalars(f"{split}/adaece")
        assert [event.step for event in curve] == [1, 2, 3]
        assert [e.value for e in curve] == pytest.approx([r[split]["adaece"] for r in run.history], rel=1e-6)
    assert "train_loss" in found.Tags()["scalars"]
    assert "epoch" not in found.Tags()["scalars"]
    (histogram,) = found.Histograms("gradient_norms")
    assert histogram.step == 2
    assert sum(histogram.histogram_value.bucket) == 997


def test_tensorboard_elsewhere_and_what_comes_again_after_a_resume_is_hidden(tmp_path):
    state = build_state(RECIPE, DIGITS, Processes(), run=None)
    for first in (0, 1):
        callback = TensorBoard(tmp_path)
        state.epoch = first
        callback.on_start(state)
        for state.epoch in range(first, 3):
            state.record = {"epoch": state.epoch + 1, "value": 10.0 * first + state.epoch, "nothing": None}
            callback.on_epoch_end(state)
        callback.on_end(state)
    found = events(tmp_path)
    assert [(event.step, event.value) for event in found.Scalars("value")] == [(1, 0.0), (2, 11.0), (3, 12.0)]
    assert found.Tags()["scalars"] == ["value"]


def test_tensorboard_needs_a_folder(tmp_path):
    with pytest.raises(UsageError, match="TensorBoard needs a folder"):
        TensorBoard().on_start(build_state(RECIPE, DIGITS, Processes(), run=None))


def test_tensorboard_writes_on_rank_0_alone(tmp_path):
    state = build_state(RECIPE, DIGITS, Processes(rank=1, world_size=2), run=None)
    callback = TensorBoard(tmp_path)
    for hook in (callback.on_start, callback.on_epoch_end, callback.on_end):
        hook(state)
    assert list(tmp_path.iterdir()) == []


def test_without_tensorboard_there_is_one_clear_error(monkeypatch):
    monkeypatch.setitem(sys.modules, "torch.utils.tensorboard", None)
    with pytest.raises(MissingDependencyError, match=r"pip install 'calkit-calibration\[tensorboard\]'"):
        TensorBoard()


def test_callbacks_keep_only_plain_values():
    for callback in (CalibrationHistory(), Console(), GradientNorms(), TensorBoard("x")):
        assert callback.state_dict() == {}
    assert set(map(type, EarlyStopping().state_dict().values())) <= {type(None), int, float}


def test_importing_the_callbacks_does_not_import_tensorboard():
    module = importlib.import_module("calkit_torch.training.callbacks.tensorboard")
    assert not hasattr(module, "SummaryWriter")
