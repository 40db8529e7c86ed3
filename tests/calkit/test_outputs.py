"""What is written goes where it was meant to go, whole or not at all, and never over what is read."""

import os
import re
import shutil
import signal
import stat
import subprocess
import sys
import threading
import time
from pathlib import Path

import numpy as np
import pytest

import calkit
from calkit.atomic import atomic_write
from calkit.cli.app import run
from calkit.cli.thresholds import parse_threshold
from calkit.errors import FileFormatError, UsageError
from calkit.metrics import available_metrics, get_metric
from tests.processes import interruptible

pytestmark = pytest.mark.skipif(os.name != "posix", reason="links, devices and signals of POSIX")


@pytest.fixture
def small(tmp_path):
    rng = np.random.default_rng(0)
    path = tmp_path / "small.npz"
    np.savez(path, logits=2 * rng.standard_normal((60, 3)), labels=rng.integers(0, 3, 60))
    return path


@pytest.fixture
def cal(small, tmp_path):
    assert run(["fit", str(small), "-o", str(tmp_path / "cal.json")]) == 0
    return tmp_path / "cal.json"


def process(*args, **options):
    command = [sys.executable, "-m", "calkit", *map(str, args)]
    return subprocess.run(command, capture_output=True, check=False, **options)


class TestInputsAreKept:
    @pytest.mark.parametrize("link", ["same", "symlink", "hard link", "address", "another spelling"])
    @pytest.mark.parametrize(
        "command",
        [
            "fit {} -o",
            "convert {}",
            "apply cal.json {} -o",
            "apply {} small.npz -o",
            "evaluate {} -o",
            "evaluate small.npz --labels {} -o",
            "evaluate small.npz -m temperature --fit-on {} -o",
            "report {} -o",
            "report small.npz --calibrator {} -o",
            "plot {} -o",
        ],
    )
    def test_an_output_that_is_an_input(self, command, link, small, cal, tmp_path, monkeypatch, capsys):
        monkeypatch.chdir(tmp_path)
        read = "cal.json" if "apply {}" in command or "--calibrator {}" in command else "small.npz"
        before = (tmp_path / read).read_bytes()
        output = {"same": read, "address": read, "another spelling": f"../{tmp_path.name}/{read}"}.get(link, "other")
        if link == "symlink":
            Path("other").symlink_to(read)
        elif link == "hard link":
            os.link(read, "other")
        word = f"{read}:logits" if link == "address" and read == "small.npz" else read
        assert run([*command.format(word).split(), output]) == 2
        _, err = capsys.readouterr()
        assert re.search(r"the output .* is the input .*; name another file to write\.\n$", err)
        assert (tmp_path / read).read_bytes() == before
        # The remedy works, where the arrays do.
        if link == "same" and not re.search("report|plot|labels", command):
            suffix = ".npz" if command.startswith(("convert", "apply")) else ".json"
            assert run([*command.format(word).split(), f"another{suffix}"]) == 0

    def test_one_of_the_files_of_a_pattern_or_folder(self, small, tmp_path, monkeypatch, capsys):
        monkeypatch.chdir(tmp_path)
        Path("runs").mkdir()
        for i in range(2):
            shutil.copy(small, f"runs/part-{i}.npz")
        for word in ("runs/part-*.npz", "runs"):
            assert run(["convert", word, "runs/part-1.npz"]) == 2
            assert "is the input" in capsys.readouterr().err

    @pytest.mark.parametrize("name", ["other.npz", "other.csv", "other.parquet"])
    def test_a_calibrator_does_not_replace_data(self, small, tmp_path, name, capsys):
        (tmp_path / name).write_bytes(b"data")
        assert run(["fit", str(small), "-o", str(tmp_path / name)]) == 2
        assert "name the file .json" in capsys.readouterr().err
        assert (tmp_path / name).read_bytes() == b"data"


class TestWhereItGoes:
    def test_symbolic_links_are_followed(self, tmp_path):
        (tmp_path / "folder").mkdir()
        target, link = tmp_path / "folder" / "a.txt", tmp_path / "b.txt"
        target.write_text("old")
        link.symlink_to(target)
        with atomic_write(link) as temporary:
            # In the same folder as what is replaced, so that it can be renamed.
            assert temporary.parent.resolve() == target.parent.resolve()
            temporary.write_text("new")
        assert link.is_symlink()
        assert target.read_text() == "new"
        dangling = tmp_path / "c.txt"
        dangling.symlink_to(tmp_path / "folder" / "d.txt")
        with atomic_write(dangling) as temporary:
            temporary.write_text("first")
        assert (tmp_path / "folder" / "d.txt").read_text() == "first"
        assert sorted(p.name for p in (tmp_path / "folder").iterdir()) == ["a.txt", "d.txt"]

    @pytest.mark.parametrize("mode", [0o600, 0o640, 0o666, 0o755])
    def test_modes_are_kept(self, tmp_path, mode):
        path = tmp_path / "a.txt"
        path.write_text("old")
        path.chmod(mode)
        with atomic_write(path) as temporary:
            temporary.write_text("new")
        assert stat.S_IMODE(path.stat().st_mode) == mode
        umask = os.umask(0o027)
        try:
            with atomic_write(tmp_path / "b.txt") as temporary:
                temporary.write_text("new")
        finally:
            os.umask(umask)
        assert stat.S_IMODE((tmp_path / "b.txt").stat().st_mode) == 0o640

    @pytest.mark.parametrize("suffix", ["", ".csv", ".npz"])
    def test_pipes_are_written_to(self, small, tmp_path, suffix):
        pipe = tmp_path / f"pipe{suffix}"
        os.mkfifo(pipe)
        read = []
        reader = threading.Thread(target=lambda: read.append(pipe.read_bytes()))
        reader.start()
        assert run(["convert", str(small), str(pipe)]) == 0
        reader.join(timeout=60)
        assert stat.S_ISFIFO(pipe.stat().st_mode)
        (tmp_path / f"copy{suffix or '.csv'}").write_bytes(read[0])
        found = calkit.load_predictions(tmp_path / f"copy{suffix or '.csv'}")
        np.testing.assert_array_equal(np.asarray(found.scores), np.load(small)["logits"])

    def test_devices_are_written_to(self, small, tmp_path):
        before = Path("/dev/null").stat()
        for command in (["convert", small], ["fit", small, "-o"], ["evaluate", small, "-o"]):
            assert run([*map(str, command), "/dev/null"]) == 0
        after = Path("/dev/null").stat()
        assert (before.st_mode, before.st_rdev, before.st_ino) == (after.st_mode, after.st_rdev, after.st_ino)

    @pytest.mark.parametrize("name", ["-", "/dev/stdout", "/dev/fd/1"])
    def test_standard_output_holds_the_output_alone(self, small, cal, tmp_path, name):
        (tmp_path / "expected.csv").touch()
        assert run(["apply", str(cal), str(small), "-o", str(tmp_path / "expected.csv")]) == 0
        with (tmp_path / "out.csv").open("wb") as stream:
            done = subprocess.run(
                [sys.executable, "-m", "calkit", "apply", cal, small, "-o", name], stdout=stream, stderr=subprocess.PIPE
            )
        assert done.returncode == 0, done.stderr
        assert (tmp_path / "out.csv").read_bytes() == (tmp_path / "expected.csv").read_bytes()


class TestTroubles:
    @pytest.mark.parametrize("number", ["SIGTERM", "SIGHUP", "SIGINT"])
    def test_signals_leave_nothing(self, tmp_path, number):
        source = tmp_path / "big.npz"
        np.savez(source, logits=np.zeros((500_000, 10), np.float32), labels=np.zeros(500_000, np.uint8))
        command = interruptible("calkit", "convert", source, tmp_path / "out.csv")
        with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as running:
            try:
                while len(list(tmp_path.iterdir())) == 1:
                    assert running.poll() is None
                    time.sleep(0.01)
                running.send_signal(getattr(signal, number))
                _, err = running.communicate(timeout=120)
            finally:
                running.kill()
        assert running.returncode == 128 + getattr(signal, number)
        assert err.endswith("nothing was left half-written.\n")
        assert list(tmp_path.iterdir()) == [source]

    def test_a_signal_where_nothing_can_be_raised_is_not_lost(self):
        program = (
            "import signal, sys, time\n"
            "from calkit.cli import app\n"
            "class Ends:\n"
            "    def __del__(self):\n"
            "        signal.raise_signal(signal.SIGTERM)\n"
            "app._invoke = lambda args, meta: (id(Ends()), time.sleep(60))\n"
            "app.main([])"
        )
        done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
        assert (done.returncode, done.stdout) == (128 + signal.SIGTERM, "")
        assert done.stderr == "calkit: terminated; nothing was left half-written.\n"

    @pytest.mark.parametrize("suffix", ["npz", "csv", "csv.gz", "parquet", "safetensors"])
    def test_a_full_disk(self, small, tmp_path, suffix):
        pytest.importorskip("resource")
        if suffix == "parquet":
            pytest.importorskip("pyarrow")
        (tmp_path / "out").mkdir()
        limit = (
            "import errno, os, resource, signal, sys\n"
            "signal.signal(signal.SIGXFSZ, signal.SIG_IGN)\n"
            "resource.setrlimit(resource.RLIMIT_FSIZE, (100, 100))\n"
            "from calkit.cli import main\n"
            "main(sys.argv[1:])"
        )
        target = tmp_path / "out" / f"a.{suffix}"
        words = [sys.executable, "-c", limit, "convert", str(small), str(target)]
        done = subprocess.run(words, capture_output=True, text=True, check=False)
        assert done.returncode == 1
        assert done.stderr == (
            f"calkit: error: cannot write {target}: File too large. Free some room, or write elsewhere.\n"
        )
        assert not list(target.parent.iterdir())

    @pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs a device that is always full")
    @pytest.mark.parametrize("command", ["convert {} -", "evaluate {}", "evaluate {} --format json", "show {}"])
    def test_a_full_disk_under_standard_output(self, small, command):
        with Path("/dev/full").open("wb") as full:
            words = [sys.executable, "-m", "calkit", *command.format(small).split()]
            done = subprocess.run(words, stdout=full, stderr=subprocess.PIPE, text=True)
        assert done.returncode == 1
        assert done.stderr.startswith("calkit: error: cannot write standard output: No space left on device")
        assert len(done.stderr.splitlines()) == 1

    @pytest.mark.parametrize("command", ["convert {} -", "evaluate - --file-format csv"])
    def test_no_room_for_temporary_files(self, small, tmp_path, command):
        pytest.importorskip("resource")
        calkit.save_predictions(calkit.load_predictions(small), tmp_path / "a.csv")
        # A file may have 100 bytes, and no more: as on a full disk. The process sets it itself,
        # since libraries that other tests load warn of forks.
        limit = (
            "import resource, signal, sys\n"
            "signal.signal(signal.SIGXFSZ, signal.SIG_IGN)\n"
            "resource.setrlimit(resource.RLIMIT_FSIZE, (100, 100))\n"
            "from calkit.cli import main\n"
            "main(sys.argv[1:])"
        )
        words = [sys.executable, "-c", limit, *command.format(small).split()]
        done = subprocess.run(words, input=(tmp_path / "a.csv").read_bytes(), capture_output=True, check=False)
        err = done.stderr.decode()
        assert done.returncode == 1, err
        assert re.search(r"cannot (write standard output|keep a copy of standard input).*File too large.*TMPDIR", err)
        assert len(err.splitlines()) == 1

    def test_a_folder_that_cannot_be_written(self, tmp_path):
        with (
            pytest.raises(FileFormatError, match="cannot write .*none/a.txt: No such file"),
            atomic_write(tmp_path / "none" / "a.txt"),
        ):
            pass
        (tmp_path / "loop").symlink_to(tmp_path / "loop")
        with pytest.raises(FileFormatError, match="cannot write .*loop"), atomic_write(tmp_path / "loop"):
            pass


class TestGates:
    @pytest.mark.parametrize(
        ("text", "hint"),
        [
            ("ece>5", "Did you mean 5%?"),
            ("mce>20", "Did you mean 20%?"),
            ("brier>60", "Did you mean 60%?"),
            ("accuracy<90", "Did you mean 90%?"),
            ("ece>1", "Did you mean 1%?"),
            ("ece>500", None),
            ("ece>150%", None),
            ("ece>-1", None),
            ("accuracy<0", None),
            ("nll<-1", None),
        ],
    )
    def test_conditions_that_never_hold(self, text, hint, small, capsys):
        with pytest.raises(UsageError, match="can never hold") as caught:
            parse_threshold(text)
        assert ("Did you mean" in str(caught.value)) == (hint is not None)
        assert run(["evaluate", str(small), "--fail-if", text]) == 2
        if hint:
            # The remedy is a condition that can be judged.
            limit = re.search(r"Did you mean (\S+%)\?", capsys.readouterr().err)[1]
            assert run(["evaluate", str(small), "--fail-if", re.sub(r"[\d.]+$", limit, text)]) in (0, 3)

    @pytest.mark.parametrize("text", ["ECE>5%", "Ece > 0.05", "ece>5 %", "NLL>60", "ece>=1", "Accuracy<=100%"])
    def test_conditions_that_may(self, text):
        threshold = parse_threshold(text)
        assert threshold.metric.name == threshold.metric.name.lower()

    def test_the_value_decides(self, small):
        ece = calkit.evaluate(calkit.load_predictions(small), ["ece"])["ece"]
        for factor, code in ((0.99, 3), (1.01, 0)):
            assert run(["evaluate", str(small), "--fail-if", f"ECE>{100 * factor * ece}%"]) == code

    def test_names_of_metrics_ignore_case(self):
        for name in available_metrics():
            assert get_metric(name.upper()).spec == get_metric(name).spec
