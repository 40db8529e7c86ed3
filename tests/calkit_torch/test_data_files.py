"""Pickles that run nothing, downloads that are whole or not there."""

from __future__ import annotations

import hashlib
import io
import os
import pickle
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sklearn.utils import Bunch

from calkit.errors import FileFormatError
from calkit_torch.data.files import RemoteFile, default_folder, fetch, md5_of
from calkit_torch.data.unpickling import load_plain_pickle

CONTENT = bytes(range(256)) * 9000  # more than two chunks
MD5 = hashlib.md5(CONTENT).hexdigest()

PLAIN = {
    "bytes": np.arange(12, dtype=np.uint8).reshape(3, 4),
    "fortran": np.asfortranarray(np.arange(6.0).reshape(2, 3)),
    "big-endian": np.arange(3, dtype=">i4"),
    "words": np.array(["ab", "c"]),
    "flags": np.array([True, False]),
    "list": [1, 2.5, "x", b"y", None, True, (3, {"z": 4})],
}


class Runs:
    """Pickles as a call of any function."""

    def __init__(self, function: Any, *arguments: Any) -> None:
        self.call = (function, arguments)

    def __reduce__(self) -> Any:
        return self.call


def load(content: bytes) -> Any:
    return load_plain_pickle(io.BytesIO(content), "batch")


@pytest.mark.parametrize("protocol", range(2, pickle.HIGHEST_PROTOCOL + 1))
def test_plain_data_come_back(protocol: int) -> None:
    found = load(pickle.dumps({**PLAIN, "bunch": Bunch(data=[1], names=["a"])}, protocol=protocol))
    for name in ("bytes", "fortran", "big-endian", "words"):
        np.testing.assert_array_equal(found[name], PLAIN[name])
        assert found[name].dtype.newbyteorder("=") == PLAIN[name].dtype.newbyteorder("=")
    assert found["list"] == PLAIN["list"]
    assert found["bunch"] == {"data": [1], "names": ["a"]}


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
def test_a_malicious_pickle_does_not_run(tmp_path: Path, protocol: int) -> None:
    trace = tmp_path / "trace"
    hostile = [
        Runs(os.system, f"touch {trace}"),
        Runs(Path.touch, trace),
        Runs(eval, f"open({str(trace)!r}, 'w')"),
        Runs(exec, f"open({str(trace)!r}, 'w')"),
        Runs(getattr, os, "system"),
        Runs(np.load, str(trace)),
        Runs(np.fromfile, str(trace)),
        {"data": [Runs(os.system, f"touch {trace}")]},
    ]
    for attack in hostile:
        try:
            content = pickle.dumps(attack, protocol=protocol)
        except (TypeError, pickle.PicklingError):  # the module os itself cannot be pickled
            continue
        with pytest.raises(FileFormatError, match="cannot read batch as plain data"):
            load(content)
    assert not trace.exists()
    pickle.loads(pickle.dumps(hostile[0], protocol=protocol))
    assert trace.exists()  # the attack itself works


@pytest.mark.parametrize(
    "content",
    [
        pickle.dumps(np.array([print, 1], dtype=object)),
        pickle.dumps(np.array([object], dtype=object), protocol=2),
        pickle.dumps(np.zeros(2, dtype=[("a", "u1"), ("b", "f8")])),
        pickle.dumps(np.zeros(2, dtype="V8")),
        pickle.dumps(np.zeros(2, dtype="M8[s]")),
        pickle.dumps(np.ma.masked_array([1, 2])),
        # arrays whose bytes are too few, and dtypes that pretend to hold objects
        b"cnumpy.core.multiarray\n_reconstruct\n(cnumpy\nndarray\n(I0\ntS'b'\ntR(I1\n(I9\ntcnumpy\ndtype\n(S'u1'\nI0\nI1\ntRI00\nS'abc'\ntb.",
        b"cnumpy\ndtype\n(S'O'\nI0\nI1\ntR.",
        b"cnumpy\nndarray\n((I3\ntS'O'\ntR.",
        b"cnumpy.core.multiarray\n_reconstruct\n(cnumpy\ndtype\n(I0\ntS'b'\ntR.",
        # names with dots, protocol 4: builtins reached through an allowed module
        b"\x80\x04\x8c\x05numpy\x94\x8c\x10ndarray.tofile.x\x94\x93\x94.",
        b"\x80\x04\x8c\x05numpy\x94\x8c\x06load\x94\x93\x94.",
        b"",
        b"\x80",
        b"not a pickle",
        b"(" * 100_000,
        pickle.dumps(list(range(1000)))[:-3],
    ],
)
def test_what_is_not_plain_is_refused(content: bytes) -> None:
    before = np.dtype("u1").str, np.dtype("u1").flags
    try:
        found = load(content)
    except FileFormatError:
        pass
    else:  # a name alone, of which nothing was called
        assert not isinstance(found, np.ndarray | np.dtype)
    assert (np.dtype("u1").str, np.dtype("u1").flags) == before


class Handler(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        if self.path == "/missing":
            self.send_error(404)
            return
        self.send_response(200)
        if self.path != "/without-length":
            self.send_header("Content-Length", str(len(CONTENT)))
        self.end_headers()
        self.wfile.write(CONTENT[:-10] if self.path == "/short" else CONTENT)

    def log_message(self, *_: Any) -> None:
        pass


@pytest.fixture(scope="module")
def server() -> Iterator[str]:
    with HTTPServer(("127.0.0.1", 0), Handler) as found:
        thread = threading.Thread(target=found.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{found.server_address[1]}"
        found.shutdown()
        thread.join()


@pytest.mark.parametrize("path", ["/whole", "/without-length"])
def test_a_download_is_kept_if_its_checksum_is_right(server: str, tmp_path: Path, path: str) -> None:
    calls: list[tuple[int, int | None]] = []
    remote = RemoteFile("data.tar.gz", server + path, MD5)
    found = fetch(remote, tmp_path / "new" / "folder", progress=lambda *call: calls.append(call))
    assert found.read_bytes() == CONTENT
    assert md5_of(found) == MD5
    assert [done for done, _ in calls][-1] == len(CONTENT)
    assert {expected for _, expected in calls} == {len(CONTENT) if path == "/whole" else None}
    assert [p.name for p in found.parent.iterdir()] == ["data.tar.gz"]


@pytest.mark.parametrize(
    ("path", "md5", "words"),
    [
        ("/whole", "0" * 32, f"whose MD5 checksum is {MD5}, and not {'0' * 32}"),
        ("/short", MD5, "cannot download .*/short"),
        ("/missing", MD5, "cannot download .*/missing: Not Found. Put the file into"),
    ],
)
def test_a_download_that_fails_leaves_nothing(server: str, tmp_path: Path, path: str, md5: str, words: str) -> None:
    with pytest.raises(FileFormatError, match=words):
        fetch(RemoteFile("data.tar.gz", server + path, md5), tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_a_server_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(FileFormatError, match="cannot download http://127.0.0.1:9/x: "):
        fetch(RemoteFile("x", "http://127.0.0.1:9/x", MD5), tmp_path)


def test_a_folder_that_cannot_be_made(server: str, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(FileFormatError, match="cannot make the folder"):
        fetch(RemoteFile("x", server, MD5), tmp_path / "file" / "folder")


def test_progress_is_shown_on_a_terminal(server: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    terminal = Terminal()
    monkeypatch.setattr(sys, "stderr", terminal)
    fetch(RemoteFile("data.tar.gz", f"{server}/whole", MD5), tmp_path)
    assert terminal.getvalue().endswith("\rdata.tar.gz: 2 of 2 MB\n")


def test_the_default_folder(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("CALKIT_DATA", str(tmp_path))
    assert default_folder("cifar10") == tmp_path / "cifar10"
    monkeypatch.delenv("CALKIT_DATA")
    assert default_folder("cifar10") == Path.home() / ".cache" / "calkit" / "cifar10"
