"""Damage files of every format at random, and see that each is read or refused: quickly, in little memory, cleanly.

Every file is opened in a process of its own kind, which the parent watches: it must answer within 10 s, stay under
1 GB, raise nothing but CalkitError, warn of nothing and leave no file behind. Run it as a script:

    python -m tests.fuzz_readers --files 20000 --seed 0
    python -m tests.fuzz_readers --files 1000 --seed 0 --sandbox
"""

from __future__ import annotations

import argparse
import gzip
import io
import os
import random
import select
import shutil
import subprocess
import sys
import tempfile
import time
import traceback
import zipfile
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import numpy as np

from tests.io_samples import SAMPLES, options_of

LIMIT_SECONDS = 10.0
LIMIT_BYTES = 1_000_000_000
SANDBOXED = "CALKIT_FUZZ_SANDBOXED"
# The sandbox has limits of its own, and starts a process for each file.
SANDBOX_SECONDS = 90.0
HUGE = [2**31 - 1, 2**32 - 1, 2**40, 2**62, 2**63 - 1, -1]
WORDS = [b"9999999999", b"-1", b"1e308", b"NaN", b'"', b"\n", b"{", b"[" * 50, b"\0", b"\xff\xfe", b",", b"null"]


def limit_seconds() -> float:
    return SANDBOX_SECONDS if os.environ.get(SANDBOXED) else LIMIT_SECONDS


# Mutations: each takes bytes and a generator, and returns other bytes.


def flip_bits(data: bytes, rng: random.Random) -> bytes:
    out = bytearray(data)
    for _ in range(rng.choice([1, 1, 2, 4, 16])):
        out[rng.randrange(len(out))] ^= 1 << rng.randrange(8)
    return bytes(out)


def truncate(data: bytes, rng: random.Random) -> bytes:
    return data[: rng.randrange(len(data))]


def edit_end(data: bytes, rng: random.Random) -> bytes:
    """Change bytes near the beginning or the end, where headers and footers are."""
    out = bytearray(data)
    near = min(len(out), rng.choice([16, 64, 256, 1024]))
    for _ in range(rng.choice([1, 2, 8])):
        at = rng.randrange(near)
        out[at if rng.random() < 0.5 else len(out) - 1 - at] = rng.choice([0, 1, 0x7F, 0x80, 0xFF, rng.randrange(256)])
    return bytes(out)


def put_number(data: bytes, rng: random.Random) -> bytes:
    size, number = rng.choice([4, 8]), rng.choice(HUGE)
    word = (number % 2 ** (8 * size)).to_bytes(size, rng.choice(["little", "big"]))
    at = rng.randrange(max(1, len(data) - size))
    return data[:at] + word + data[at + size :]


def put_word(data: bytes, rng: random.Random) -> bytes:
    at, word = rng.randrange(len(data)), rng.choice(WORDS)
    return data[:at] + word + data[at + rng.choice([0, len(word)]) :]


def cut_out(data: bytes, rng: random.Random) -> bytes:
    start = rng.randrange(len(data))
    return data[:start] + data[start + rng.randrange(1, 200) :]


def repeat(data: bytes, rng: random.Random) -> bytes:
    start = rng.randrange(len(data))
    piece = data[start : start + rng.randrange(1, 200)]
    return data[:start] + piece * rng.choice([1, 2, 50]) + data[start:]


def blank(data: bytes, rng: random.Random) -> bytes:
    start, length = rng.randrange(len(data)), rng.randrange(1, 100)
    return data[:start] + bytes([rng.choice([0, 0xFF])]) * min(length, len(data) - start) + data[start + length :]


MUTATIONS: list[Callable[[bytes, random.Random], bytes]] = [
    flip_bits,
    flip_bits,
    truncate,
    edit_end,
    edit_end,
    put_number,
    put_word,
    cut_out,
    repeat,
    blank,
]


def mutate(data: bytes, rng: random.Random) -> bytes:
    """Damage a file, or what is packed in it so that its checksums are right again."""
    if not data:
        return bytes(rng.randrange(256) for _ in range(8))
    if data.startswith(b"PK\x03\x04") and rng.random() < 0.5:
        return _mutate_member(data, rng)
    if data.startswith(b"\x1f\x8b") and rng.random() < 0.5:
        return gzip.compress(mutate(gzip.decompress(data), rng))
    for _ in range(rng.choice([1, 1, 2])):
        data = rng.choice(MUTATIONS)(data, rng) or b"\0"
    return data


def _mutate_member(data: bytes, rng: random.Random) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(data)) as old, zipfile.ZipFile(out, "w") as new:
        members = old.infolist()
        chosen = rng.choice(members)
        for info in members:
            content = old.read(info)
            damaged = mutate(content, rng) if info is chosen else content
            new.writestr(info.filename, damaged, info.compress_type)
    return out.getvalue()


# The process that reads.


def attempt(path: Path, options: dict[str, object]) -> str:
    """Read a file as a user would; return whether it was read or refused, or the traceback that escaped."""
    import calkit
    from calkit.errors import CalkitError
    from calkit.io import describe

    refused = False
    how = {"trust_pickle": True} if options.get("trust_pickle") else {"sandbox": bool(os.environ.get(SANDBOXED))}
    options = {**options, **how}
    for action in (
        lambda: describe(path, count_nan=True, **how),
        lambda: calkit.evaluate(calkit.load_predictions(path, **options), ["ece", "nll", "brier"]),
    ):
        try:
            action()
        except CalkitError:
            refused = True
        except Exception:
            return traceback.format_exc()
    return "refused" if refused else "read"


def _serve() -> None:
    import warnings

    warnings.simplefilter("error")
    for line in sys.stdin:
        name, folder, target = line.rstrip("\n").split("\t")
        Path("/proc/self/clear_refs").write_text("5")
        answer = attempt(Path(target), options_of(name, Path(folder)))
        status = Path("/proc/self/status").read_text()
        peak = int(status.split("VmHWM:")[1].split()[0]) * 1024
        sys.stdout.write(f"{peak}\t{answer!r}\n")
        sys.stdout.flush()


class Reader:
    """The process that reads, started again when it dies or is too slow."""

    def __init__(self) -> None:
        self._process: subprocess.Popen[str] | None = None

    def read(self, name: str, folder: Path, target: Path) -> tuple[str, float, int]:
        """Return the answer, the seconds it took and the peak of memory."""
        if self._process is None or self._process.poll() is not None:
            self._process = subprocess.Popen(
                [sys.executable, __file__, "--serve"],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                text=True,
                env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[1]), "TMPDIR": str(folder / "tmp")},
            )
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        start = time.monotonic()
        self._process.stdin.write(f"{name}\t{folder}\t{target}\n")
        self._process.stdin.flush()
        ready, _, _ = select.select([self._process.stdout], [], [], limit_seconds() + 20)
        line = self._process.stdout.readline() if ready else ""
        seconds = time.monotonic() - start
        if not line:
            self.close()
            return ("crashed" if ready else "hung"), seconds, 0
        peak, answer = line.rstrip("\n").split("\t", 1)
        return str(eval(answer)), seconds, int(peak)

    def close(self) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process.stdin.close()
            self._process.stdout.close()
            self._process = None


def fuzz(n_files: int, seed: int, names: list[str], keep: Path | None = None) -> dict[str, Counter[str]]:
    """Damage and read files.

    Parameters
    ----------
    n_files : int
        In all, shared out among the formats.
    seed : int
    names : list of str
        Samples to start from.
    keep : Path, optional
        Folder for the files that went wrong.

    Returns
    -------
    dict
        For each sample, how many were read, refused, and went wrong (any other key).
    """
    results: dict[str, Counter[str]] = {}
    reader = Reader()
    with tempfile.TemporaryDirectory() as base:
        try:
            for number, name in enumerate(names):
                share = n_files // len(names) + (number < n_files % len(names))
                folder = Path(base) / str(number)
                results[name] = _fuzz_one(reader, name, share, seed, folder, keep)
        finally:
            reader.close()
    return results


def _fuzz_one(reader: Reader, name: str, n_files: int, seed: int, folder: Path, keep: Path | None) -> Counter[str]:
    rng = random.Random(f"{seed}-{name}")
    values = np.random.default_rng(seed)
    (folder / "tmp").mkdir(parents=True)
    original = SAMPLES[name].write(folder, values.normal(size=(40, 3)).astype(np.float32), values.integers(0, 3, 40))
    files = sorted(p for p in original.rglob("*") if p.is_file()) if original.is_dir() else [original]
    contents = {file: file.read_bytes() for file in files}
    before = _listing(folder)
    counts: Counter[str] = Counter()
    assert _verdict(reader, name, folder, original, before) == "read", f"{name}: the undamaged file is not read"
    for _ in range(n_files):
        file = rng.choice(files)
        file.write_bytes(mutate(contents[file], rng))
        verdict = _verdict(reader, name, folder, original, before)
        counts[verdict.strip().splitlines()[-1][:100] if verdict not in ("read", "refused") else verdict] += 1
        if verdict not in ("read", "refused") and keep is not None:
            target = keep / f"{name}-{sum(counts.values())}"
            target.mkdir(parents=True)
            shutil.copy(file, target / file.name)
            (target / "verdict.txt").write_text(verdict)
        file.write_bytes(contents[file])
    return counts


def _verdict(reader: Reader, name: str, folder: Path, target: Path, before: set[str]) -> str:
    answer, seconds, peak = reader.read(name, folder, target)
    left = _listing(folder) - before
    if answer in ("read", "refused"):
        if seconds > limit_seconds():
            return f"took {seconds:.0f} s"
        if peak > LIMIT_BYTES:
            return f"took {peak / 1e9:.1f} GB"
        if left:
            for path in left:
                (folder / path).unlink(missing_ok=True)
            return f"left {sorted(left)[0]} behind"
    return answer


def _listing(folder: Path) -> set[str]:
    return {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--files", type=int, default=20_000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--only", nargs="*", default=list(SAMPLES), metavar="SAMPLE")
    parser.add_argument("--keep", type=Path, help="folder for the files that go wrong")
    parser.add_argument("--sandbox", action="store_true", help="read each file in the sandbox")
    parser.add_argument("--serve", action="store_true", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.serve:
        _serve()
        return 0
    if arguments.sandbox:
        os.environ[SANDBOXED] = "1"
    start = time.monotonic()
    results = fuzz(arguments.files, arguments.seed, arguments.only, arguments.keep)
    wrong = 0
    for name, counts in results.items():
        others = {what: n for what, n in counts.items() if what not in ("read", "refused")}
        wrong += sum(others.values())
        print(f"{name:<20} {counts['read']:>5} read {counts['refused']:>5} refused  {others or ''}")
    print(f"{sum(map(Counter.total, results.values()))} files in {time.monotonic() - start:.0f} s, {wrong} went wrong")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
