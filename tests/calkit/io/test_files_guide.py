"""The guide to files is true: its Python and its commands run as printed, and print what it says."""

import re
import shlex
import subprocess
import sys
from pathlib import Path

from calkit.cli.app import run
from calkit.hardening import limits
from calkit.io import FORMATS, Sandbox
from calkit.io.catalogue import markdown
from calkit.io.text import COMPRESSIONS
from calkit.names import ROLES
from calkit.roles.resolve import OPTIONS

PAGE = (Path(__file__).parents[3] / "docs" / "user_guide" / "files.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"```(python|sh|text)\n(.*?)```", PAGE, re.S)


def normal(text):
    return "\n".join(line.rstrip() for line in text.strip().splitlines())


def test_commands_run_and_print_what_the_page_says(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    names: dict[str, object] = {}
    printed = {}
    for language, code in BLOCKS:
        if language == "python":
            exec(compile(code, "files.md", "exec"), names)
        for line in code.splitlines() if language == "sh" else ():
            if "|" in line:
                command = line.replace("calkit ", f"{shlex.quote(sys.executable)} -m calkit ")
                done = subprocess.run(command, shell=True, capture_output=True, text=True)
                assert done.returncode == 0, done.stderr
                continue
            assert run(shlex.split(line)[1:]) == 0, capsys.readouterr().err
            printed[line] = capsys.readouterr().out
    listing, refusal = (text for language, text in BLOCKS if language == "text")
    assert normal(printed["calkit show run.npz"]) == normal(listing)
    assert run(["evaluate", "objects.npy"]) != 0
    assert capsys.readouterr().err == refusal
    # A comma for a point, a list of names for a pattern and parts for the whole change no number.
    values = [out.split("\n", 1)[1] for line, out in printed.items() if line.startswith("calkit evaluate ani")]
    assert len(values) == 3
    assert len({value.rsplit("─", 1)[1] for value in values}) == 1
    whole = printed["calkit evaluate logits.npy --labels truth.txt"].rsplit("─", 1)[1]
    assert printed["calkit evaluate 'all_part*.npz'"].rsplit("─", 1)[1] == whole
    assert printed["calkit evaluate all.npz"].rsplit("─", 1)[1] == whole


def table(heading):
    section = PAGE.split(f"## {heading}\n")[1].split("\n## ")[0]
    return [[cell.strip() for cell in line.strip("|").split(" | ")] for line in section.splitlines() if line[:1] == "|"]


def test_all_formats_are_in_the_table():
    """The page includes the table that is made of the registered formats, with all suffixes and extras."""
    assert "```{include} formats_table.inc" in PAGE
    rows = {line.split("`")[1]: line for line in markdown().splitlines()[2:]}
    assert list(rows) == list(FORMATS)
    for word, line in rows.items():
        form = FORMATS[word]
        assert all(f"`{s}`" in line for s in form.suffixes if not s.endswith(COMPRESSIONS)), word
        extra = "[torch]" if "torch" in form.requires else "[formats]" if form.requires else ""
        assert extra in line, word


def test_the_table_of_names_is_the_dictionary():
    rows = table("Which array is what")[2:]
    assert len(rows) == len(ROLES)
    for (names, taken, option), (role, words) in zip(rows, ROLES.items(), strict=True):
        assert names == " ".join(f"`{word}`" for word in words)
        assert taken
        assert option.strip("`") == OPTIONS.get(role, "--scores" if role in ("logits", "probs") else f"--{role}")


STRANGERS = (Path(__file__).parents[3] / "docs" / "user_guide" / "untrusted_files.md").read_text(encoding="utf-8")


def test_limits_are_those_of_the_code():
    words = [
        f"{limits.MAX_EXPANSION} times",
        f"{limits.MAX_TEXT_EXPANSION} times",
        f"{limits.MAX_ARRAYS:,}; {limits.MAX_COLUMNS:,}",
        f"{limits.MAX_NAME:,} characters",
        f"a JSON document | {limits.MAX_DOCUMENT_BYTES >> 20} MiB",
        f"a line of text | {limits.MAX_LINE_BYTES >> 20} MiB",
        f"| {limits.MAX_HEADER_BYTES >> 20} MiB",
        f"a chunk of HDF5 or Zarr | {limits.MAX_CHUNK_BYTES >> 20} MiB",
        f"each with the room of the longest | {limits.MAX_TEXT_BYTES >> 20} MiB",
        f"{Sandbox().memory >> 30} GiB of memory",
        f"take {Sandbox().seconds:g} s to open",
    ]
    assert [word for word in words if word not in STRANGERS] == []


def test_the_page_on_untrusted_files_runs(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    names: dict[str, object] = {}
    for language, code in re.findall(r"```(python|sh)\n(.*?)```", STRANGERS, re.S):
        if language == "python":
            exec(compile(code, "untrusted_files.md", "exec"), names)
        for line in code.splitlines() if language == "sh" else ():
            assert run(shlex.split(line)[1:]) == 0, capsys.readouterr().err
