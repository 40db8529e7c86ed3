"""20 Newsgroups and the Stanford Sentiment Treebank: words as ids, divisions, files of all forms."""

from __future__ import annotations

import codecs
import json
import lzma
import os
import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from sklearn.utils import Bunch

import calkit
from calkit.errors import FileFormatError, InputError, NotFoundError, UsageError
from calkit_torch.data import DataSet, get_dataset
from calkit_torch.data.newsgroups import split_sizes
from calkit_torch.data.newsgroups_files import Messages, read_messages
from calkit_torch.data.split import shuffled
from calkit_torch.data.text import build_vocabulary, encode, tokenize
from calkit_torch.training import Recipe, train
from tests.calkit_torch.test_data_files import Runs

GROUPS = [f"group.{chr(ord('a') + k)}" for k in range(20)]
KERAS_FILTERS = '!"#$%&()*+,-./:;<=>?@[\\]^_`{|}~\t\n'


def keras_words(text: str) -> list[str]:
    """As ``keras.preprocessing.text.text_to_word_sequence`` goes about it."""
    text = text.lower().translate(str.maketrans(dict.fromkeys(KERAS_FILTERS, " ")))
    return [word for word in text.split(" ") if word]


@pytest.mark.parametrize(
    "text",
    ["Don't [quote] me@home.org: it's\tTWO words\n> > 3.14!", "", "...", "a_b/c-d (e)  'f'", "naïve café", "x" * 50],
)
def test_words_are_those_of_keras(text: str) -> None:
    assert tokenize(text) == keras_words(text)


def test_ids_against_a_plain_loop() -> None:
    rng = np.random.default_rng(0)
    documents = [[f"w{k}" for k in rng.integers(12, size=n)] for n in rng.integers(0, 9, size=40)]
    vocabulary = build_vocabulary(documents, max_words=7)
    words = [word for document in documents for word in document]
    ranking = sorted(set(words), key=lambda word: (-words.count(word), word))
    assert vocabulary == {word: i + 1 for i, word in enumerate(ranking[:7])}
    for row, document in zip(encode(documents, vocabulary, 5), documents, strict=True):
        ids = [vocabulary[word] for word in document if word in vocabulary][-5:]
        assert row.tolist() == ids + [0] * (5 - len(ids))


def message(i: int) -> dict[str, Any]:
    body = "body " + " ".join(f"word{i % 7}" for _ in range(i % 5))
    return {
        "split": "train" if i < 80 else "test",
        "label": GROUPS[i % 20],
        "id": i,
        "text": f"Newsgroups: secret{i % 20}\nLines: 3\n\n{body}",
    }


MESSAGES = [message(i) for i in range(100)]
IN_ORDER_OF_TREES = sorted(MESSAGES, key=lambda m: (m["split"] == "test", m["label"], m["id"]))


def write_jsonl(folder: Path, name: str = "20news-bydate.jsonl.xz", messages: Any = MESSAGES) -> Path:
    folder.mkdir(exist_ok=True)
    opener: Any = lzma.open if name.endswith(".xz") else open
    with opener(folder / name, "wt", encoding="utf-8") as file:
        file.writelines(json.dumps(m) + "\n" for m in messages)
    return folder


def write_trees(folder: Path) -> Path:
    for m in MESSAGES:
        group = folder / f"20news-bydate-{m['split']}" / m["label"]
        group.mkdir(parents=True, exist_ok=True)
        (group / str(m["id"])).write_text(m["text"], encoding="latin-1")
    return folder


def write_whole_tree(folder: Path) -> Path:
    for m in MESSAGES:
        group = folder / "20_newsgroups" / m["label"]
        group.mkdir(parents=True, exist_ok=True)
        (group / str(m["id"])).write_text(m["text"], encoding="latin-1")
    (folder / "20_newsgroups" / GROUPS[0] / "notes.txt").write_text("no message")
    return folder


def write_cache(folder: Path) -> Path:
    """As scikit-learn's fetcher writes it."""
    cache = {}
    for split in ("train", "test"):
        found = [m for m in IN_ORDER_OF_TREES if m["split"] == split]
        cache[split] = Bunch(
            data=[m["text"] for m in found],
            filenames=np.array([str(m["id"]) for m in found]),
            target_names=GROUPS,
            target=np.array([GROUPS.index(m["label"]) for m in found]),
            DESCR=None,
        )
    folder.mkdir(exist_ok=True)
    (folder / "20news-bydate_py3.pkz").write_bytes(codecs.encode(pickle.dumps(cache), "zlib_codec"))
    return folder


FORMS = {"jsonl": write_jsonl, "trees": write_trees, "cache": write_cache, "whole": write_whole_tree}


@pytest.mark.parametrize("form", list(FORMS))
def test_messages_are_read(tmp_path: Path, form: str) -> None:
    found = read_messages(FORMS[form](tmp_path / "here"))
    order = {"jsonl": MESSAGES, "whole": sorted(MESSAGES, key=lambda m: (m["label"], m["id"]))}
    messages = order.get(form, IN_ORDER_OF_TREES)
    assert found.texts == tuple(m["text"] for m in messages)
    assert found.labels == tuple(m["label"] for m in messages)
    if form == "whole":
        assert found.is_test is None
    else:
        assert found.is_test.tolist() == [m["split"] == "test" for m in messages]


def test_a_file_can_be_named_itself(tmp_path: Path) -> None:
    write_jsonl(tmp_path, "20news-a.jsonl")
    write_jsonl(tmp_path, "20news-b.jsonl")
    with pytest.raises(FileFormatError, match=r"holds 20news-a.jsonl, 20news-b.jsonl; name one"):
        read_messages(tmp_path)
    assert len(read_messages(tmp_path / "20news-b.jsonl").texts) == 100


def test_scikit_learns_own_folder_is_looked_into(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SCIKIT_LEARN_DATA", str(write_cache(tmp_path / "theirs")))
    monkeypatch.setenv("CALKIT_DATA", str(tmp_path / "ours"))
    assert len(read_messages().texts) == 100
    with pytest.raises(FileFormatError, match="20newsgroups is not in"):
        read_messages(tmp_path / "elsewhere")


def test_a_download_is_scikit_learns(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fetch(data_home: Path, subset: str) -> None:
        write_cache(data_home)

    monkeypatch.setattr("sklearn.datasets.fetch_20newsgroups", fetch)
    assert len(read_messages(tmp_path / "new", download=True).texts) == 100


def test_a_malicious_cache_does_not_run(tmp_path: Path) -> None:
    attack = {"train": Runs(os.system, f"touch {tmp_path / 'trace'}")}
    (tmp_path / "20news-bydate_py3.pkz").write_bytes(codecs.encode(pickle.dumps(attack), "zlib_codec"))
    with pytest.raises(FileFormatError, match=r"it asks for posix\.system"):
        read_messages(tmp_path)
    assert not (tmp_path / "trace").exists()


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("20news.jsonl", b'{"label": "a"}\n', 'line 1: expected a JSON object with "text" and "label"'),
        ("20news.jsonl", b'{"label": "a", "text": "b"}\n[]\n', "line 2: expected a JSON object"),
        ("20news.jsonl", b'{"label": 3, "text": "b"}\n', "must be text"),
        ("20news.jsonl", b'{"label": "a", "text": "b", "split": "dev"}\n', '"split" "train" or "test"'),
        ("20news.jsonl", b'{"label": "a", "text": "b"}\n', "messages of 1 groups, and not of 20"),
        ("20news.jsonl", b"\xff\xfe", "cannot read .*20news.jsonl as text"),
        ("20news.jsonl.xz", b"no archive", "cannot read .*20news.jsonl.xz as text"),
        ("20news.jsonl", b"", "holds no messages"),
        ("20news-bydate_py3.pkz", b"no archive", "cannot read"),
        ("20news-bydate_py3.pkz", codecs.encode(pickle.dumps([1]), "zlib_codec"), "is not scikit-learn's cache"),
    ],
)
def test_broken_files_are_named(tmp_path: Path, name: str, content: bytes, words: str) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(FileFormatError, match=words):
        read_messages(tmp_path)


def test_sizes_are_the_papers() -> None:
    assert split_sizes(19_997) == (15_098, 900, 3_999)


@pytest.mark.parametrize("n", [30, 100, 18_846])
def test_sizes_add_up(n: int) -> None:
    train, validation, test = split_sizes(n)
    assert train + validation + test == n
    assert test == n // 5
    assert abs(validation - (n - test) * 900 / 15_998) <= 0.5


def test_the_division_is_a_function_of_the_seed(tmp_path: Path) -> None:
    write_jsonl(tmp_path)
    order = shuffled(100, 4)
    n_train, n_validation, _ = split_sizes(100)
    data = get_dataset("20newsgroups:length=9", folder=tmp_path, split_seed=4)
    labels = [MESSAGES[i]["label"] for i in order]
    parts = (data.train, data.validation, data.test)
    found = [data.class_names[k] for part in parts for k in part.labels.tolist()]
    assert found == labels
    assert [len(part) for part in parts] == [n_train, n_validation, 100 - n_train - n_validation]


def test_by_date_the_test_is_given(tmp_path: Path) -> None:
    data = get_dataset("20newsgroups:division=bydate,length=9", folder=write_jsonl(tmp_path))
    assert [data.class_names[k] for k in data.test.labels.tolist()] == [m["label"] for m in MESSAGES if m["id"] >= 80]
    assert len(data.train) + len(data.validation) == 80
    assert len(data.validation) == round(80 * 900 / 15_998)


def test_documents_hold_the_bodies_words(tmp_path: Path) -> None:
    def words_of(data: DataSet) -> list[set[str]]:
        rows = [m for part in (data.train, data.validation, data.test) for m in part.inputs]
        return [set(row[row > 0].tolist()) for row in rows]

    write_jsonl(tmp_path)
    body = get_dataset("20newsgroups:length=9", folder=tmp_path)
    assert body.train.inputs.shape[1] == 9
    assert body.train.inputs.dtype == torch.int64
    assert body.model_options == {"vocabulary_size": 1 + 1 + 7}  # padding, "body" and seven words
    assert all(ids and min(ids) == 1 for ids in words_of(body))  # "body" is in each and the most frequent
    with_headers = get_dataset("20newsgroups:length=50,headers=true", folder=tmp_path)
    assert with_headers.model_options["vocabulary_size"] > 20
    x, _ = next(iter(body.loader("train", batch_size=4, train=True)))
    assert body.build_model("global-pooling-cnn:width=4,embedding_dim=3")(x).shape == (4, 20)
    few = get_dataset("20newsgroups:length=9,max_words=2", folder=tmp_path)
    assert few.model_options == {"vocabulary_size": 3}


def test_word_vectors(tmp_path: Path) -> None:
    write_jsonl(tmp_path)
    glove = tmp_path / "glove.txt"
    glove.write_text("body 1 2 3\nword1 4 5 6\n")
    data = get_dataset(f"20newsgroups:length=9,glove={glove}", folder=tmp_path)
    embedding = data.build_model("global-pooling-cnn:width=4").embedding
    assert embedding.weight.shape == (9, 3)
    assert embedding.weight[1].tolist() == [1, 2, 3]
    assert embedding.weight[0].tolist() == [0, 0, 0]


def test_vectors_that_are_not_trained(tmp_path: Path) -> None:
    """As the Keras code has them: a matrix that is not trained, with zeros for words of the vocabulary without any."""
    write_jsonl(tmp_path)
    glove = tmp_path / "glove.npz"
    np.savez(glove, words=np.array([b"body", b"word1"]), vectors=np.array([[1, 2], [3, 4]], dtype=np.float16))
    data = get_dataset(f"20newsgroups:length=9,glove={glove},trainable=false", folder=tmp_path)
    embedding = data.build_model("global-pooling-cnn:width=4").embedding
    assert embedding.weight.tolist() == [[0, 0], [0, 0], [1, 2], [3, 4]]
    assert not embedding.weight.requires_grad
    trained = get_dataset(f"20newsgroups:length=9,glove={glove}", folder=tmp_path)
    assert trained.model_options["embedding"].weight.shape == (9, 2)
    for frozen, free in zip(data.train.inputs, trained.train.inputs, strict=True):
        assert (frozen > 0).tolist() == (free > 0).tolist()  # the same words, at the same places
        assert (frozen == 2).tolist() == (free == 1).tolist()  # "body", the most frequent
    with pytest.raises(UsageError, match="trainable=false is for vectors that are given"):
        get_dataset("20newsgroups:trainable=false", folder=tmp_path)


def test_divisions_that_cannot_be(tmp_path: Path) -> None:
    with pytest.raises(NotFoundError, match="unknown division 'bydat'. Did you mean 'bydate'"):
        get_dataset("20newsgroups:division=bydat", folder=tmp_path)
    with pytest.raises(InputError, match="max_words must be"):
        get_dataset("20newsgroups:max_words=0", folder=tmp_path)
    with pytest.raises(UsageError, match="division=bydate needs files that say"):
        get_dataset("20newsgroups:division=bydate", folder=write_whole_tree(tmp_path / "whole"))
    write_jsonl(tmp_path, messages=MESSAGES[:20])
    with pytest.raises(InputError, match="20newsgroups has 20 messages here"):
        get_dataset("20newsgroups", folder=tmp_path)


@pytest.mark.data
def test_real_messages(data_folder: Path) -> None:
    """Sizes of the by-date set: 11,314 and 7,532 messages."""
    found = read_messages(data_folder / "20newsgroups")
    assert isinstance(found, Messages)
    assert (len(found.texts), int(found.is_test.sum())) == (18_846, 7_532)
    assert len(set(found.labels)) == 20


@pytest.mark.slow
@pytest.mark.data
def test_the_division_of_the_real_messages(data_folder: Path) -> None:
    """In the paper's proportion: 15,098, 900 and 3,999 of 19,997 become 14,229, 848 and 3,769 of 18,846."""
    data = get_dataset("20newsgroups", folder=data_folder / "20newsgroups")
    assert tuple(map(len, (data.train, data.validation, data.test))) == (14_229, 848, 3_769)
    assert data.class_names[0] == "alt.atheism"
    assert data.train.inputs.shape == (14_229, 1000)
    assert data.options == {"vocabulary_size": 20_001}
    together = torch.cat([part.labels for part in (data.train, data.validation, data.test)])
    # The smallest and the largest group of the by-date set, 628 and 999 messages.
    assert sorted(together.bincount().tolist())[:: data.n_classes - 1] == [628, 999]


TREES = {
    "train": ["(3 (2 A) (4 (4 Good) (2 Film)))", "(2 (2 a) (2 film))", "(0 (1 bad) (2 film))"],
    "dev": ["(1 (0 worst) (2 film))"],
    "test": ["(4 (4 best) (2 Film))", "(2 so-so)"],
}


def write_sst(folder: Path, ending: str = "", trees: Any = TREES) -> Path:
    for name, texts in trees.items():
        opener: Any = lzma.open if ending else open
        with opener(folder / f"{name}.txt{ending}", "wt", encoding="utf-8") as file:
            file.writelines(f"{text}\n" for text in texts)
    return folder


@pytest.mark.parametrize("ending", ["", ".xz"])
def test_the_two_class_task(tmp_path: Path, ending: str) -> None:
    """By hand: roots 3 and 0 stay in training, 2 is left out; nodes of label 2 are -100."""
    data = get_dataset("sst:two-class", folder=write_sst(tmp_path, ending))
    assert [len(part) for part in (data.train, data.validation, data.test)] == [2, 1, 1]
    assert data.class_names == ("negative", "positive")
    assert [tree.labels for tree in data.train.inputs] == [(-100, 1, -100, 1, 1), (0, -100, 0)]
    assert data.train.inputs[0].leaves == ("a", "good", "film")
    assert (data.train.labels.tolist(), data.test.labels.tolist()) == ([1, 0], [1])
    # film twice, then a, bad, good; 0 is padding, 1 is unknown
    assert data.feed.vocabulary == {"film": 2, "a": 3, "bad": 4, "good": 5}
    assert data.model_options == {"vocabulary_size": 6}
    forest, labels = next(iter(data.loader("test", batch_size=5)))
    assert forest.words.tolist() == [1, 2]
    assert labels.tolist() == [1]


def test_the_binary_task(tmp_path: Path) -> None:
    """By hand: the trees of the two-class task; nodes of label 2 are neutral, class 1 of 3; roots are judged by two."""
    data = get_dataset("sst", folder=write_sst(tmp_path))
    assert data.class_names == ("negative", "neutral", "positive")
    assert [tree.labels for tree in data.train.inputs] == [(1, 2, 1, 2, 2), (0, 1, 0)]
    assert (data.train.labels.tolist(), data.test.labels.tolist()) == ([2, 0], [2])
    assert data.judged_names == ("negative", "positive")
    logits, labels = data.only_judged(torch.tensor([[1.0, 9.0, 2.0], [4.0, 5.0, 3.0]]), torch.tensor([2, 0]))
    assert (logits.tolist(), labels.tolist()) == ([[1, 2], [4, 3]], [1, 0])
    recipe = Recipe("sst", "tree-lstm:hidden=4,embedding_dim=3", "ce", epochs=1, reduction="per-input")
    run = train(recipe, data, out=tmp_path / "run", device="cpu", progress=False)
    found = calkit.load_predictions(run.logits(), split="test")
    assert found.scores.shape == (1, 2)
    assert (found.class_names, found.y_true.tolist()) == (("negative", "positive"), [1])


def test_the_fine_task(tmp_path: Path) -> None:
    data = get_dataset("sst:fine", folder=write_sst(tmp_path))
    assert [len(part) for part in (data.train, data.validation, data.test)] == [3, 1, 2]
    assert data.n_classes == 5
    assert data.train.inputs[0].labels == (2, 4, 2, 4, 3)
    assert data.test.labels.tolist() == [4, 2]


def test_case_can_be_kept_and_words_of_all_splits_looked_up(tmp_path: Path) -> None:
    write_sst(tmp_path)
    assert "Good" in get_dataset("sst:lowercase=false", folder=tmp_path).feed.vocabulary
    glove = tmp_path / "glove.txt"
    glove.write_text("best 1 2\nfilm 3 4\n")
    data = get_dataset(f"sst:glove={glove}", folder=tmp_path)
    model = data.build_model("tree-lstm:hidden=3")
    assert model.embedding.weight[data.feed.vocabulary["best"]].tolist() == [1, 2]
    forest, _ = next(iter(data.loader("train", batch_size=2, train=True)))
    assert model(forest).shape == (8, 3)


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("(3 (2 a) (2 b)", "train.txt, line 1: malformed tree"),
        ("(5 (2 a) (2 b))", r"train.txt, line 1: labels must be from 0 to 4, but are \[2, 5\]"),
        ("", "train.txt, line 1: malformed tree"),
    ],
)
def test_broken_trees_are_named(tmp_path: Path, line: str, words: str) -> None:
    with pytest.raises(FileFormatError, match=words):
        get_dataset("sst", folder=write_sst(tmp_path, trees={**TREES, "train": [line]}))


def test_trees_that_are_missing(tmp_path: Path) -> None:
    with pytest.raises(NotFoundError, match="unknown task of sst 'binar'. Did you mean 'binary'"):
        get_dataset("sst:binar", folder=tmp_path)
    write_sst(tmp_path)
    (tmp_path / "dev.txt").write_text("")
    with pytest.raises(FileFormatError, match="dev.txt is empty"):
        get_dataset("sst", folder=tmp_path)
    (tmp_path / "dev.txt").unlink()
    with pytest.raises(FileFormatError, match=f"{tmp_path} has no dev.txt.*\n  mkdir -p {tmp_path} && cd"):
        get_dataset("sst", folder=tmp_path)


@pytest.mark.data
def test_the_real_treebank(data_folder: Path) -> None:
    """Counts as published: 6,920, 872 and 1,821 with a root that is not neutral; 8,544, 1,101 and 2,210 in all."""
    binary = get_dataset("sst:two-class", folder=data_folder / "sst")
    fine = get_dataset("sst:fine", folder=data_folder / "sst")
    for data, sizes in ((binary, (6920, 872, 1821)), (fine, (8544, 1101, 2210))):
        assert tuple(map(len, (data.train, data.validation, data.test))) == sizes
    # roots of training, from the counts of each label
    assert binary.train.labels.bincount().tolist() == [1092 + 2218, 2322 + 1288]
    assert fine.train.labels.bincount().tolist() == [1092, 2218, 1624, 2322, 1288]
    n_neutral = sum(tree.labels.count(-100) for tree in binary.train.inputs)
    loader = binary.loader("train", batch_size=25, train=True)
    assert sum(int((labels == -100).sum()) for _, labels in loader) == n_neutral > 100_000
    assert len(loader) == 277


@pytest.mark.data
def test_real_word_vectors_for_the_real_treebank(data_folder: Path, tmp_path: Path) -> None:
    """The vocabulary holds the words of all splits; those that GloVe knows have its vectors."""
    with np.load(data_folder / "glove" / "glove-twitter-25d-12k.npz") as found:
        table = dict(zip([word.decode() for word in found["words"]], found["vectors"].astype(np.float32), strict=True))
    rows = [f"{word} {' '.join(map(str, vector))}\n" for word, vector in table.items() if " " not in word]
    (tmp_path / "glove.txt").write_text("".join(rows), encoding="utf-8")
    data = get_dataset(f"sst:binary,glove={tmp_path / 'glove.txt'}", folder=data_folder / "sst")
    weight = data.model_options["embedding"].weight
    vocabulary = data.feed.vocabulary
    known = [word for word in vocabulary if word in table]
    assert len(known) > 5_000
    for word in known[:100]:
        np.testing.assert_allclose(weight[vocabulary[word]].detach().numpy(), table[word], rtol=1e-6)
