"""Files as people have them: what spreadsheets, pandas, polars, training loops and logs leave behind."""

import io
import json
import pickle
import zipfile

import numpy as np
import pytest

import calkit
from calkit.errors import FileFormatError, InputError, NotFoundError, UsageError
from calkit.io import describe, load_predictions, open_container
from calkit.io.csv_dialect import find_delimiter
from calkit.names import Meaning, read_name

PROBS = np.array([[0.5, 0.25, 0.25], [0.125, 0.75, 0.125], [0.0, 0.125, 0.875], [0.375, 0.5, 0.125]])
LABELS = np.array([0, 1, 2, 0])
NAMES = ["cat", "dog", "emu"]
ECE = calkit.ece(LABELS, PROBS)


def same(predictions, names=None, labels=LABELS):
    np.testing.assert_array_equal(np.asarray(predictions.scores), PROBS)
    np.testing.assert_array_equal(predictions.y_true, labels)
    assert predictions.class_names == names
    assert calkit.evaluate(predictions, ["ece"])["ece"] == pytest.approx(ECE, abs=1e-12)


def text(separator=",", point=".", end="\n", header="prob_cat,prob_dog,prob_emu,label"):
    rows = [",".join([*map(str, row), NAMES[label]]) for row, label in zip(PROBS.tolist(), LABELS, strict=True)]
    # Commas separate until here, so that points may become commas.
    lines = [line.replace(",", "\0").replace(".", point).replace("\0", separator) for line in [header, *rows]]
    return end.join(lines) + end


class TestText:
    @pytest.mark.parametrize("separator", [",", ";", "\t", "|"])
    @pytest.mark.parametrize("suffix", [".csv", ".tsv", ".txt"])
    def test_the_first_line_tells_the_separator(self, tmp_path, separator, suffix):
        (tmp_path / f"a{suffix}").write_text(text(separator))
        same(load_predictions(tmp_path / f"a{suffix}"), tuple(NAMES))

    @pytest.mark.parametrize("separator", [";", "\t"])
    def test_decimal_commas_of_a_spreadsheet(self, tmp_path, separator):
        (tmp_path / "a.csv").write_bytes(b"\xef\xbb\xbf" + text(separator, ",", "\r\n").encode())
        same(load_predictions(tmp_path / "a.csv"), tuple(NAMES))

    def test_decimal_commas_in_every_block(self, tmp_path, monkeypatch):
        monkeypatch.setattr("calkit.io.text.TEXT_BLOCK_BYTES", 40)
        weighted = text(";", ",").replace("label", "label;weight").replace("cat\n", "cat;0,5\n")
        (tmp_path / "a.csv").write_text(weighted.replace("dog\n", "dog;1\n").replace("emu\n", "emu;1,25\n"))
        p = load_predictions(tmp_path / "a.csv")
        np.testing.assert_array_equal(np.asarray(p.scores), PROBS)
        assert p.sample_weight.tolist() == [0.5, 1.0, 1.25, 0.5]

    def test_commas_and_points_in_one_file_are_not_guessed_at(self, tmp_path):
        (tmp_path / "a.csv").write_text("logit_0;logit_1;label\n1,5;2.5;0\n")
        with pytest.raises(FileFormatError, match=r"a\.csv: line 2 holds '1,5' in the column 'logit_0'"):
            load_predictions(tmp_path / "a.csv")

    def test_numbers_without_a_header(self, tmp_path):
        for name, data in {
            "a.csv": "0,5;0,25\n1;2,5\n",
            "b.txt": "0.5 0.25\n1 2.5\n",
            "c.tsv": "0.5\t0.25\n1\t2.5\n",
        }.items():
            (tmp_path / name).write_text(data)
            np.testing.assert_array_equal(
                open_container(tmp_path / name).fields[name[0]].read(), [[0.5, 0.25], [1, 2.5]]
            )

    def test_what_savetxt_writes(self, tmp_path):
        np.savetxt(tmp_path / "probs.txt", PROBS)
        np.savetxt(tmp_path / "y.txt", LABELS, fmt="%d")
        same(load_predictions(tmp_path / "probs.txt", labels=tmp_path / "y.txt", kind="probs"))
        header = "prob_cat,prob_dog,prob_emu,label"
        np.savetxt(tmp_path / "a.csv", np.c_[PROBS, LABELS], delimiter=",", header=header)
        same(load_predictions(tmp_path / "a.csv"), tuple(NAMES))

    @pytest.mark.parametrize(
        "cell",
        [
            str,
            lambda row: str(np.array(row)),
            lambda row: f"tensor({row})",
            lambda row: f"array({row}, dtype=float32)",
            lambda row: "[" + ", ".join(f"np.float32({v})" for v in row) + "]",
        ],
    )
    def test_lists_in_cells(self, tmp_path, cell):
        lines = [f'"{cell(row)}",{label}\n' for row, label in zip(PROBS.tolist(), LABELS, strict=True)]
        (tmp_path / "a.csv").write_text("probs,label\n" + "".join(lines))
        same(load_predictions(tmp_path / "a.csv"))

    @pytest.mark.parametrize("cell", ["[0.5]", "[0.5, x]", "x", "[0.5 ... 0.5]", "[[0.5, 0.5]]"])
    def test_a_list_unlike_the_first(self, tmp_path, cell):
        (tmp_path / "a.csv").write_text(f'probs,label\n"[0.5, 0.5]",1\n"{cell}",0\n')
        if cell in ("x", "[[0.5, 0.5]]"):
            # Words and lists: it is a column of text.
            with pytest.raises(calkit.errors.InputError, match="'probs' is of type text"):
                load_predictions(tmp_path / "a.csv")
            return
        with pytest.raises(
            FileFormatError, match=r"a\.csv: line 3 holds '\[0\.5.*where a list of 2 numbers is needed"
        ) as caught:
            load_predictions(tmp_path / "a.csv")
        assert ("NumPy left numbers out" in str(caught.value)) == ("..." in cell)

    def test_notes_beside_data(self, tmp_path):
        np.savez(tmp_path / "a.npz", probs=PROBS, labels=LABELS)
        (tmp_path / "README.txt").write_text("these are, as you see, probabilities")
        same(load_predictions(tmp_path))

    @pytest.mark.parametrize(
        ("line", "usual", "expected"),
        [
            ('"a;b",c', ",", ","),
            ("a,b;c", ",", ","),
            ("a", ",", ","),
            ("a b", ",", ","),
            ("1 2", ",", " "),
            ("a,b", "\t", ","),
        ],
    )
    def test_separators(self, line, usual, expected):
        assert find_delimiter(line, usual) == expected

    def test_standard_input_with_semicolons(self, monkeypatch):
        data = b"\xef\xbb\xbf" + text(";", ",", "\r\n").encode()
        monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(data)))
        same(load_predictions("-"), tuple(NAMES))
        monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(b"PK\x03\x04")))
        with pytest.raises(FileFormatError, match=r"^standard input is not a readable \.npz file"):
            load_predictions("-")


class TestColumnsOfClasses:
    @pytest.fixture(params=["csv", "parquet", "feather", "jsonl", "shards"])
    def path(self, request, tmp_path):
        columns = dict(zip(NAMES, PROBS.T, strict=True)) | {"label": np.array(NAMES)[LABELS]}
        if request.param in ("csv", "shards"):
            for i, part in enumerate([slice(0, 4)] if request.param == "csv" else [slice(0, 3), slice(3, 4)]):
                rows = zip(*(column[part].tolist() for column in columns.values()), strict=True)
                lines = [",".join(columns), *(",".join(map(str, row)) for row in rows)]
                (tmp_path / f"part-{i}.csv").write_text("\n".join(lines))
            return tmp_path
        if request.param == "jsonl":
            rows = zip(*(column.tolist() for column in columns.values()), strict=True)
            (tmp_path / "a.jsonl").write_text(
                "\n".join(json.dumps(dict(zip(columns, row, strict=True))) for row in rows)
            )
            return tmp_path / "a.jsonl"
        pa = pytest.importorskip("pyarrow")
        from pyarrow import feather, parquet

        write = {"parquet": parquet.write_table, "feather": feather.write_feather}[request.param]
        write(pa.table(columns), str(tmp_path / f"a.{request.param}"))
        return tmp_path / f"a.{request.param}"

    @pytest.mark.parametrize("scores", ["cat,dog,emu", "[cde]*", "cat, [de]*"])
    def test_by_name_and_by_pattern(self, path, scores):
        same(load_predictions(path, scores=scores, kind="probs"), tuple(NAMES))

    def test_the_order_is_the_users(self, path):
        p = load_predictions(path, scores="emu,cat,dog", kind="probs")
        np.testing.assert_array_equal(np.asarray(p.scores), PROBS[:, [2, 0, 1]])
        assert (p.class_names, p.y_true.tolist()) == (("emu", "cat", "dog"), [1, 2, 0, 1])

    def test_errors_say_how(self, path):
        with pytest.raises(UsageError, match=r"or the columns of the classes: --scores 'cat,dog,emu', .*kind='probs'"):
            load_predictions(path)
        with pytest.raises(UsageError, match="'cat,dog,emu' does not tell logits from probabilities"):
            load_predictions(path, scores="cat,dog,emu")
        with pytest.raises(NotFoundError, match=r"unknown array 'cow' of .*Known: cat, dog"):
            load_predictions(path, scores="cat,cow", kind="probs")
        with pytest.raises(UsageError, match=r"label \(4 text\) is no column of numbers"):
            load_predictions(path, scores="cat,label", kind="probs")

    def test_columns_of_any_file(self, tmp_path):
        columns = dict(zip(NAMES, PROBS.T, strict=True))
        np.savez(tmp_path / "a.npz", **columns, labels=np.array(NAMES)[LABELS], short=PROBS[:2, 0])
        same(load_predictions(tmp_path / "a.npz", scores="cat,dog,emu", kind="probs"), tuple(NAMES))
        with pytest.raises(UsageError, match="short .* are of different lengths"):
            load_predictions(tmp_path / "a.npz", scores="cat,short", kind="probs")

    def test_numbers_for_names(self, tmp_path):
        rows = "\n".join(
            f"{i},{c},{a},{b},{y}" for i, ((a, b, c), y) in enumerate(zip(PROBS.tolist(), LABELS, strict=True))
        )
        (tmp_path / "a.csv").write_text(f",2,0,1,label\n{rows}\n")
        with pytest.raises(UsageError, match="'scores' does not tell logits from probabilities"):
            load_predictions(tmp_path / "a.csv")
        same(load_predictions(tmp_path / "a.csv", kind="probs"))
        # Years are no classes, nor is half of them.
        (tmp_path / "b.csv").write_text("2020,2021,label\n1,2,0\n")
        assert list(open_container(tmp_path / "b.csv").fields) == ["2020", "2021", "label"]


@pytest.mark.parametrize(
    ("name", "meaning"),
    [
        ("True label", Meaning("labels")),
        ("ground-truth", Meaning("labels")),
        ("val  logits", Meaning("logits", "validation")),
        ("y_hat", Meaning("predicted")),
        ("Sample Weight", Meaning("sample_weight")),
    ],
)
def test_names_as_titles(name, meaning):
    assert read_name(name) == meaning


def test_a_matrix_of_predictions(tmp_path):
    np.savez(tmp_path / "a.npz", y_pred=PROBS, y_true=LABELS)
    with pytest.raises(UsageError, match="'y_pred' does not tell logits from probabilities.*--kind probs"):
        load_predictions(tmp_path / "a.npz")
    same(load_predictions(tmp_path / "a.npz", kind="probs"))


def test_polars_writes_categories_over_views(tmp_path):
    pa = pytest.importorskip("pyarrow")
    words = pa.DictionaryArray.from_arrays(pa.array(LABELS.astype("u4")), pa.array(NAMES, pa.string_view()))
    table = pa.table({f"prob_{name}": column for name, column in zip(NAMES, PROBS.T, strict=True)} | {"label": words})
    with pa.ipc.new_file(tmp_path / "a.arrow", table.schema) as writer:
        writer.write_table(table)
    same(load_predictions(tmp_path / "a.arrow"), tuple(NAMES))


def test_words_in_zarr(tmp_path):
    zarr = pytest.importorskip("zarr")
    group = zarr.open_group(str(tmp_path / "a.zarr"), mode="w")
    group.create_array("probs", data=PROBS)
    group.create_array("labels", shape=(4,), dtype=str)[:] = np.array(NAMES, dtype=object)[LABELS]
    with pytest.raises(InputError, match="which column is which is unknown"):
        load_predictions(tmp_path / "a.zarr")
    group.create_array("classes", shape=(3,), dtype=str)[:] = np.array(NAMES, dtype=object)
    same(load_predictions(tmp_path / "a.zarr"), tuple(NAMES))


@pytest.mark.parametrize("suffix", ["npy", "npz", "npz-compressed"])
def test_bfloat16_without_its_name(tmp_path, suffix):
    bits = (PROBS.astype(np.float32).view(np.uint32) >> 16).astype(np.uint16).view("V2")
    if suffix == "npy":
        np.save(tmp_path / "probs.npy", bits)
        np.save(tmp_path / "y.npy", LABELS)
        p = load_predictions(tmp_path / "probs.npy", labels=tmp_path / "y.npy")
    else:
        save = np.savez if suffix == "npz" else np.savez_compressed
        save(tmp_path / "a.npz", probs=bits, labels=LABELS)
        p = load_predictions(tmp_path / "a.npz")
        assert describe(tmp_path / "a.npz").arrays[0].dtype == "bfloat16"
    same(p)
    assert p.scores.itemsize == 2


class TestLoops:
    """What training and prediction loops collect."""

    def test_lists_of_dictionaries_and_of_pairs(self, tmp_path):
        torch = pytest.importorskip("torch")
        parts = [(torch.from_numpy(PROBS[i : i + 1]), torch.from_numpy(LABELS[i : i + 1])) for i in range(4)]
        torch.save([{"probs": p, "labels": y} for p, y in parts], tmp_path / "a.pt")
        same(load_predictions(tmp_path / "a.pt"))
        torch.save(parts, tmp_path / "b.pt")
        same(load_predictions(tmp_path / "b.pt", kind="probs"))

    def test_two_are_batches_as_well(self, tmp_path):
        torch = pytest.importorskip("torch")
        runs = [
            {"probs": torch.from_numpy(PROBS[part]), "labels": torch.from_numpy(LABELS[part])}
            for part in (slice(0, 2), slice(2, 4))
        ]
        torch.save(runs, tmp_path / "a.pt")
        same(load_predictions(tmp_path / "a.pt"))
        torch.save([tuple(run.values()) for run in runs], tmp_path / "b.pt")
        same(load_predictions(tmp_path / "b.pt", kind="probs"))

    def test_a_tuple_of_two_pairs_is_two_splits(self, tmp_path):
        (tmp_path / "a.pkl").write_bytes(pickle.dumps(((PROBS[:2], LABELS[:2]), (PROBS, LABELS))))
        same(load_predictions(tmp_path / "a.pkl", kind="probs", split="test", trust_pickle=True))
        # A list of two that are no batches of a loader has no names for them, and none is made up.
        (tmp_path / "a.pkl").write_bytes(pickle.dumps([(PROBS[:2], LABELS[:2]), (PROBS, LABELS)]))
        with pytest.raises(UsageError, match="holds the splits '0', '1'"):
            load_predictions(tmp_path / "a.pkl", kind="probs", trust_pickle=True)

    def test_eighty_records_are_rows(self, tmp_path):
        records = [{"probs": PROBS[i % 4].tolist(), "label": int(LABELS[i % 4]), "note": f"row {i}"} for i in range(80)]
        (tmp_path / "a.pkl").write_bytes(pickle.dumps(records))
        p = load_predictions(tmp_path / "a.pkl", trust_pickle=True, columns="all")
        assert calkit.evaluate(p, ["ece"])["ece"] == pytest.approx(ECE, abs=1e-12)
        assert (p.n_samples, p.columns["note"][79]) == (80, "row 79")

    def test_arrays_in_torch_files_are_told_apart(self, tmp_path):
        torch = pytest.importorskip("torch")
        torch.save({"probs": PROBS, "labels": LABELS}, tmp_path / "a.pt")
        with pytest.raises(
            FileFormatError, match=r"a\.pt holds NumPy arrays, .* Save them with np\.savez.*--trust-pickle"
        ):
            load_predictions(tmp_path / "a.pt")
        same(load_predictions(tmp_path / "a.pt", trust_pickle=True))
        torch.save(torch.nn.Linear(1, 1), tmp_path / "b.pt")
        with pytest.raises(FileFormatError, match=r"Python objects \(torch\.nn\.modules\.linear\.Linear\)"):
            load_predictions(tmp_path / "b.pt")

    def test_a_dictionary_in_an_array(self, tmp_path):
        np.save(tmp_path / "a.npy", {"probs": PROBS, "labels": LABELS})
        with pytest.raises(FileFormatError, match=r"a\.npy holds pickled Python objects.*--trust-pickle"):
            load_predictions(tmp_path / "a.npy")
        same(load_predictions(tmp_path / "a.npy", trust_pickle=True))
        np.savez(tmp_path / "b.npz", run={"probs": PROBS, "labels": LABELS})
        same(load_predictions(tmp_path / "b.npz", trust_pickle=True))
        pair = np.empty(2, object)
        pair[:] = [PROBS, LABELS]
        np.save(tmp_path / "c.npy", pair)
        same(load_predictions(tmp_path / "c.npy", kind="probs", trust_pickle=True))

    def test_a_pickled_data_frame(self, tmp_path):
        pd = pytest.importorskip("pandas")
        frame = pd.DataFrame(PROBS, columns=[f"prob_{name}" for name in NAMES]).assign(label=LABELS)
        (tmp_path / "a.pkl").write_bytes(pickle.dumps(frame))
        same(load_predictions(tmp_path / "a.pkl", trust_pickle=True), tuple(NAMES))


def test_tokens_that_begin_with_a_space(tmp_path):
    records = [
        {"logprobs": {f" {name}": value for name, value in zip(NAMES, row, strict=True)}, "answer": NAMES[label]}
        for row, label in zip(PROBS.tolist(), LABELS, strict=True)
    ]
    (tmp_path / "a.jsonl").write_text("\n".join(map(json.dumps, records)))
    p = load_predictions(tmp_path / "a.jsonl")
    assert (p.class_names, p.y_true.tolist()) == (tuple(NAMES), LABELS.tolist())


@pytest.mark.parametrize(
    ("name", "data", "message"),
    [
        (
            "a.csv",
            "prob_chat,prob_chiné,label\n1,0,0\n".encode("latin-1"),
            r"line 1 is not UTF-8 .* Save it as UTF-8",
        ),
        (
            "a.mat",
            b"# Created by Octave 9.2.0\n# name: logits\n" + b" " * 200,
            "Octave's text.* save it again, with '-v7'",
        ),
        ("a.json", b'{"logit_0": {"0": 1.5}, "logit_1": {"0": 2.5}}', "pandas does so with .*orient='records'"),
    ],
)
def test_the_remedy_fits(tmp_path, name, data, message):
    (tmp_path / name).write_bytes(data)
    with pytest.raises(FileFormatError, match=message) as caught:
        load_predictions(tmp_path / name)
    assert str(tmp_path / name) in str(caught.value)


def test_a_workbook(tmp_path):
    with zipfile.ZipFile(tmp_path / "a.xlsx", "w") as archive:
        archive.writestr("[Content_Types].xml", "")
        archive.writestr("xl/workbook.xml", "")
    with pytest.raises(FileFormatError, match=r"a\.xlsx is an Excel workbook; save the sheet as CSV"):
        load_predictions(tmp_path / "a.xlsx")


def test_names_that_no_system_has(tmp_path):
    name = tmp_path / ("x" * 300 + ".npz")
    with pytest.raises(FileFormatError, match=r"cannot read .*File name too long"):
        load_predictions(name)
    with pytest.raises(FileFormatError, match=r"cannot write .*File name too long"):
        calkit.save_predictions(calkit.Predictions(PROBS, LABELS, kind="probs"), name)
    with pytest.raises(FileFormatError, match=r"a\.xyz: no format is known by that suffix\. Writable: \.csv, "):
        calkit.save_predictions(calkit.Predictions(PROBS, LABELS, kind="probs"), tmp_path / "a.xyz")
