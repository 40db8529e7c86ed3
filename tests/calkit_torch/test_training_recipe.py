"""Recipes: what they say, in TOML and back; the paper's numbers; schedules in proportion to the epochs."""

from __future__ import annotations

import dataclasses
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from calkit.errors import FileFormatError, InputError, NotFoundError, UsageError
from calkit_torch.data import get_dataset, register_dataset
from calkit_torch.data.registry import DATASETS
from calkit_torch.losses import PAPER_NAMES
from calkit_torch.training import Recipe, available_recipes, get_recipe, get_schedule
from calkit_torch.training.recipe import scaled_loss

DIGITS = Recipe("digits", "mlp", "FLA-53")
FULL = Recipe(
    "cifar100:test_constants=imagenet",
    "wide-resnet-26-10",
    "mmce:2,base=focal:2",
    optimiser="adam:0.01",
    lr_schedule="cosine:final=0.1,warmup=2",
    epochs=17,
    batch_size=96,
    seed=7,
    split_seed=3,
    precision="bfloat16",
    reduction="sum",
    clip_norm=1.5,
    select="ece:n_bins=10",
    pipeline="dataloader",
    workers=2,
    compile=True,
    cuda_graphs=True,
    channels_last=True,
    save_epochs=(3, 17),
    embedding_optimiser="sgd:0.2",
)


@pytest.mark.parametrize("recipe", [DIGITS, FULL], ids=["defaults", "nothing by default"])
def test_toml_and_back(recipe: Recipe, tmp_path: Path) -> None:
    assert Recipe.from_toml(recipe.to_toml()) == recipe
    assert Recipe.from_dict(recipe.to_dict()) == recipe
    (tmp_path / "mine.toml").write_text(recipe.to_toml())
    assert get_recipe(tmp_path / "mine.toml") == recipe


def test_the_full_recipe_leaves_nothing_at_its_default() -> None:
    for field in dataclasses.fields(Recipe):
        assert field.default is dataclasses.MISSING or getattr(FULL, field.name) != field.default, field.name


def test_the_hash_is_the_same_in_every_process_and_release() -> None:
    """Folders of old runs must be found again; a change of this number is a change of all their names."""
    assert DIGITS.folder_name == "digits-mlp-FLA-53-13da5213"
    code = "from calkit_torch.training import Recipe; print(Recipe('digits', 'mlp', 'FLA-53').hash)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == DIGITS.hash


def test_every_key_counts_in_the_hash() -> None:
    changed = {field.name: getattr(FULL, field.name) for field in dataclasses.fields(Recipe)}
    hashes = {dataclasses.replace(DIGITS, **{name: value}).hash for name, value in changed.items()}
    assert len(hashes | {DIGITS.hash}) == len(changed) + 1


def test_a_whole_clip_norm_is_the_same_recipe() -> None:
    assert dataclasses.replace(DIGITS, clip_norm=2).hash == dataclasses.replace(DIGITS, clip_norm=2.0).hash


@pytest.mark.parametrize("spec", ["cifar100:test_constants=imagenet", "digits:noise=6", "a/b c"])
def test_folder_names_are_plain(spec: str) -> None:
    name = dataclasses.replace(DIGITS, dataset=spec).folder_name
    assert set(name) <= set("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-=._+")


def test_recipes_are_frozen_and_hashable() -> None:
    with pytest.raises(dataclasses.FrozenInstanceError):
        DIGITS.epochs = 3  # type: ignore[misc]
    assert len({DIGITS, Recipe("digits", "mlp", "FLA-53")}) == 1


@pytest.mark.parametrize(
    ("values", "error", "words"),
    [
        ({"epoch": 3}, NotFoundError, "unknown recipe key 'epoch'. Did you mean 'epochs'"),
        ({"lr_shedule": "constant"}, NotFoundError, "Did you mean 'lr_schedule'"),
        ({"model": "resnet5"}, NotFoundError, "unknown model 'resnet5'. Did you mean 'resnet50'"),
        ({"loss": "FLA-35"}, NotFoundError, "unknown loss 'FLA-35'. Did you mean 'FLA-53'"),
        ({"optimiser": "sdg:0.1"}, NotFoundError, "unknown optimiser 'sdg'. Did you mean 'sgd'"),
        ({"lr_schedule": "cosin"}, NotFoundError, "Did you mean 'cosine'"),
        ({"precision": "bfloat"}, NotFoundError, "unknown precision 'bfloat'. Did you mean 'bfloat16'"),
        ({"reduction": "summ"}, NotFoundError, "Did you mean 'sum'"),
        ({"pipeline": "residant"}, NotFoundError, "Did you mean 'resident'"),
        ({"select": "acuracy"}, NotFoundError, "Did you mean 'accuracy'"),
        ({"epochs": 0}, InputError, "epochs must be at least 1, but is 0"),
        ({"epochs": 2.5}, InputError, "epochs must be a whole number, but is 2.5"),
        ({"epochs": True}, InputError, "epochs must be a whole number, but is True"),
        ({"batch_size": -1}, InputError, "batch_size must be at least 1"),
        ({"seed": -1}, InputError, "seed must be at least 0"),
        ({"seed": 2**63}, InputError, r"seed must be below 2\*\*63"),
        ({"workers": -1}, InputError, "workers must be at least 0"),
        ({"compile": "yes"}, InputError, "compile must be true or false, but is 'yes'"),
        ({"clip_norm": 0}, InputError, "clip_norm must be positive, but is 0.0; leave it out"),
        ({"clip_norm": float("nan")}, InputError, "clip_norm must be positive"),
        ({"clip_norm": "2"}, InputError, "clip_norm must be a number, but is '2'"),
        ({"loss": 3}, InputError, "loss must be text, but is 3"),
        ({"save_epochs": [0]}, InputError, "save_epochs must be from 1 to epochs = 30, but hold 0"),
        ({"save_epochs": [10, 31]}, InputError, "save_epochs must be from 1 to epochs = 30, but hold 31"),
        ({"save_epochs": 3}, InputError, "save_epochs must be a list of whole numbers, but is 3"),
        ({"optimiser": "sgd:-0.1"}, InputError, "the learning rate must be a positive number, but is -0.1"),
        ({"optimiser": "sgd:0.1,momentun=0.9"}, UsageError, "Parameters: lr=0.1, momentum=0.0"),
        ({"lr_schedule": "step:0.1"}, UsageError, "step:0.1@150,250"),
    ],
)
def test_what_no_recipe_can_say(values: dict[str, Any], error: type[Exception], words: str) -> None:
    with pytest.raises(error, match=words):
        Recipe.from_dict({**DIGITS.to_dict(), **values})


def test_what_is_missing_is_named() -> None:
    with pytest.raises(UsageError, match=r"a recipe needs model, loss; for example .*--dataset, --model, --loss"):
        get_recipe(dataset="digits")
    with pytest.raises(UsageError, match="name a data set"):
        get_recipe(model="mlp", loss="ce")


def test_files_that_cannot_be_read(tmp_path: Path) -> None:
    with pytest.raises(NotFoundError, match="unknown recipe 'focal-calibraton'. Did you mean 'focal-calibration'"):
        get_recipe("focal-calibraton", dataset="cifar10", model="resnet50", loss="ce")
    with pytest.raises(FileFormatError, match="none.toml cannot be read: No such file"):
        get_recipe(tmp_path / "none.toml")
    (tmp_path / "broken.toml").write_text("epochs = ")
    with pytest.raises(FileFormatError, match="broken.toml is not TOML: "):
        get_recipe(tmp_path / "broken.toml")
    (tmp_path / "typo.toml").write_text("epochz = 3")
    with pytest.raises(NotFoundError, match="Did you mean 'epochs'"):
        get_recipe(tmp_path / "typo.toml", dataset="digits", model="mlp", loss="ce")


# The paper's Appendix D, its published code where the text is silent, and no more.
IMAGES = {
    "optimiser": "sgd:0.1,momentum=0.9,weight_decay=0.0005",
    "lr_schedule": "step:0.1@150,250",
    "epochs": 350,
    "batch_size": 128,
    "select": "last",
}
PAPER = {
    "focal-calibration": {**IMAGES, "reduction": "focal-calibration", "clip_norm": 2.0},
    "paper-images": {**IMAGES, "reduction": "mean", "clip_norm": None},
    "paper-documents": {
        "optimiser": "adam:0.001,beta1=0.9,beta2=0.999",
        "lr_schedule": "constant",
        "epochs": 50,
        "select": "accuracy",
        "reduction": "mean",
    },
    "paper-trees": {
        "optimiser": "adagrad:0.05,weight_decay=0.0001",
        "embedding_optimiser": "sgd:0.1",
        "lr_schedule": "constant",
        "epochs": 25,
        "batch_size": 25,
        "select": "accuracy",
        "reduction": "per-input",
    },
}


@pytest.mark.parametrize("name", PAPER)
def test_the_recipes_of_the_paper(name: str) -> None:
    recipe = get_recipe(name, dataset="mine", model="resnet50", loss="CE")
    for key, value in PAPER[name].items():
        assert getattr(recipe, key) == value, key
    assert recipe.precision == "float32"
    assert recipe.seed == recipe.split_seed == 1


def test_rates_of_the_paper() -> None:
    """0.1 for the first 150 epochs, 0.01 for the next 100, 0.001 for the last 100."""
    recipe = get_recipe(dataset="cifar10", model="resnet50", loss="CE")
    factor = get_schedule(recipe.lr_schedule, recipe.epochs)
    rates = [0.1 * factor(epoch) for epoch in range(recipe.epochs)]
    assert rates == pytest.approx([0.1] * 150 + [0.01] * 100 + [0.001] * 100)


@pytest.mark.parametrize(
    ("dataset", "name"),
    [
        ("cifar10", "focal-calibration"),
        ("cifar100:test_constants=imagenet", "focal-calibration"),
        ("20newsgroups", "paper-documents"),
        ("sst:binary", "paper-trees"),
        ("digits:noise=6", "digits"),
        ("moons", "plain"),
    ],
)
def test_each_data_set_has_its_recipe(dataset: str, name: str) -> None:
    what = {"dataset": dataset, "model": "resnet50", "loss": "CE"}
    assert get_recipe(**what) == get_recipe(name, **what)


def test_all_recipes_that_ship_are_read() -> None:
    for name in available_recipes():
        assert get_recipe(name, dataset="digits", model="mlp", loss="FLS-532").dataset == "digits"


@pytest.mark.parametrize(
    ("reduction", "loss", "expected"),
    [
        ("focal-calibration", "CE", "sum"),
        ("focal-calibration", "FLA-53", "sum"),
        ("focal-calibration", "MMCE", "sum"),  # the mean times the size of the batch
        ("focal-calibration", "Brier", "mean"),
        ("mean", "FLA-53", "mean"),
        ("sum", "Brier", "sum"),
    ],
)
def test_reductions_of_the_published_code(reduction: str, loss: str, expected: str) -> None:
    assert Recipe("cifar10", "resnet50", loss, reduction=reduction).loss_reduction == expected


@pytest.mark.parametrize(
    ("what", "epochs"),
    [
        (("cifar10", "wide-resnet-26-10-postactivation", "brier"), 550),
        (("cifar10", "wide-resnet-26-10-postactivation", "Brier"), 550),
        (("cifar100", "resnet110-bottleneck", "brier"), 430),
        (("cifar10", "resnet110-bottleneck", "brier"), 350),
        (("cifar10", "resnet50", "brier"), 350),
        (("cifar10", "densenet121", "brier"), 350),
        (("cifar10", "wide-resnet-26-10", "brier"), 350),
        (("cifar10", "wide-resnet-26-10-postactivation", "CE"), 350),
        (("cifar100", "wide-resnet-26-10-postactivation", "brier"), 350),
    ],
)
def test_the_published_code_trains_two_networks_longer_with_the_brier_score(
    what: tuple[str, str, str], epochs: int
) -> None:
    recipe = get_recipe(dataset=what[0], model=what[1], loss=what[2])
    assert recipe.epochs == epochs
    assert recipe.lr_schedule == "step:0.1@150,250"
    half = get_recipe(dataset=what[0], model=what[1], loss=what[2], epochs=epochs // 2)
    assert (half.epochs, half.lr_schedule) == (epochs // 2, "step:0.1@75,125")
    plain = get_recipe("paper-images", dataset=what[0], model=what[1], loss=what[2])
    assert plain.epochs == 350


@pytest.mark.parametrize(
    ("dataset", "meant"),
    [
        ("cifar10", "mmce-w:2,scaling=code"),  # the scripts of the published code: --loss mmce_weighted --lamda 2.0
        ("cifar100", "mmce-w:2,scaling=code"),
        ("20newsgroups", "mmce-w:8,scaling=code"),  # Appendix D: lambda = 8 for documents
        ("sst", "mmce-w:8,scaling=code"),
        ("digits", "MMCE"),
    ],
)
def test_the_recipe_says_what_it_means_by_mmce(dataset: str, meant: str, tmp_path: Path) -> None:
    assert get_recipe(dataset=dataset, model="resnet50", loss="MMCE").loss == meant
    assert get_recipe(dataset=dataset, model="resnet50", loss="mmce:3").loss == "mmce:3"
    path = tmp_path / "mine.toml"
    path.write_text('dataset = "digits"\nloss = "MMCE"\n[losses]\nMMCE = "mmce:5"\n')
    assert get_recipe(path, model="mlp").loss == "mmce:5"
    path.write_text("[losses]\nMMCE = 3\n")
    with pytest.raises(InputError, match="the losses of .*mine.toml must be a table of text"):
        get_recipe(path, dataset="digits", model="mlp", loss="ce")


def test_exceptions_in_a_file_of_ones_own(tmp_path: Path) -> None:
    path = tmp_path / "mine.toml"
    path.write_text('epochs = 9\n[[exceptions]]\nmodel = "mlp"\nbatch_size = 32\nseed = 5\n')
    assert get_recipe(path, dataset="digits", model="mlp:hidden=8", loss="ce").batch_size == 32
    assert get_recipe(path, dataset="digits", model="small-resnet", loss="ce").batch_size == 128
    chosen = get_recipe(path, dataset="digits", model="mlp", loss="ce", seed=3)
    assert (chosen.batch_size, chosen.seed) == (32, 3)
    path.write_text('[[exceptions]]\nmodel = "mlp"\nbatchsize = 32\n')
    with pytest.raises(NotFoundError, match="Did you mean 'batch_size'"):
        get_recipe(path, dataset="digits", model="mlp", loss="ce")
    for text in ("[[exceptions]]\nepochs = 3\n", "exceptions = 3\n"):
        path.write_text(text)
        with pytest.raises(InputError, match=r"must be tables, \[\[exceptions\]\], each with dataset, model or loss"):
            get_recipe(path, dataset="digits", model="mlp", loss="ce")


def test_shortened_recipes_change_in_proportion() -> None:
    whole = get_recipe(dataset="cifar10", model="resnet50", loss="FLS-531", save_epochs=[100, 350])
    short = whole.shortened(35)
    assert (short.lr_schedule, short.loss) == ("step:0.1@15,25", "focal-scheduled:5,3,1@10,25")
    assert (short.epochs, short.save_epochs) == (35, (10, 35))
    assert short.differences(whole) == ["loss", "lr_schedule", "epochs", "save_epochs"]
    assert whole.shortened(350) == whole
    assert whole.shortened(700).lr_schedule == "step:0.1@300,500"
    with pytest.raises(InputError, match="epochs must be at least 1"):
        whole.shortened(0)


def test_the_shortest_recipes_are_still_recipes() -> None:
    whole = get_recipe(dataset="cifar10", model="resnet50", loss="mmce:2,base=FLS-532", save_epochs=[1, 100, 350])
    for epochs in range(1, 20):
        assert whole.shortened(epochs).epochs == epochs


@pytest.mark.parametrize(
    ("given", "lr_schedule", "loss", "save_epochs"),
    [
        ({}, "step:0.1@40,52", "FLA-53", ()),
        ({"epochs": 30}, "step:0.1@20,26", "FLA-53", ()),
        ({"loss": "FLS-532"}, "step:0.1@40,52", "focal-scheduled:5,3,2@17,43", ()),
        ({"loss": "FLS-532", "epochs": 35}, "step:0.1@23,30", "focal-scheduled:5,3,2@10,25", ()),
        # What is given is used unchanged.
        ({"loss": "focal-scheduled:5,3@20", "epochs": 30}, "step:0.1@20,26", "focal-scheduled:5,3@20", ()),
        ({"lr_schedule": "step:0.5@3", "epochs": 30}, "step:0.5@3", "FLA-53", ()),
        ({"save_epochs": [90], "epochs": 100}, "step:0.1@67,87", "FLA-53", (90,)),
    ],
)
def test_epochs_scale_the_recipe_and_the_names_of_the_paper(
    given: dict[str, Any], lr_schedule: str, loss: str, save_epochs: tuple[int, ...]
) -> None:
    recipe = get_recipe(**{"dataset": "digits", "model": "mlp", "loss": "FLA-53", **given})
    assert (recipe.lr_schedule, recipe.loss, recipe.save_epochs) == (lr_schedule, loss, save_epochs)


@pytest.mark.parametrize("name", PAPER_NAMES)
def test_names_of_losses_without_a_schedule_stay(name: str) -> None:
    assert (scaled_loss(name, 0.1) == name) == (not name.startswith("FLS-"))


def test_a_data_set_of_ones_own_has_the_plain_recipe(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(DATASETS, "_items", dict(DATASETS._items))
    register_dataset("spots")(lambda: get_dataset("digits"))
    assert get_recipe(dataset="spots", model="mlp", loss="ce").lr_schedule == "cosine"
