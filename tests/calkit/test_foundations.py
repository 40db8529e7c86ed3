"""Registries, specs, atomic files, pairwise sums: the small things everything stands on."""

import stat

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from calkit import metrics
from calkit.atomic import atomic_write
from calkit.errors import FileFormatError, NotFoundError, UsageError
from calkit.registry import Registry
from calkit.specs import Spec, call_with_spec, parse_spec, split_specs
from calkit.stats import PairwiseSum
from calkit.stats.targets import get_view
from calkit.stats.unions import TopK

words = st.from_regex(r"[a-z][a-z0-9_-]{0,8}", fullmatch=True).filter(lambda w: w not in {"true", "false", "none"})
values = st.one_of(st.integers(-1000, 1000), st.booleans(), st.none(), st.floats(-1e6, 1e6), words)


@given(
    name=words,
    args=st.lists(values, max_size=3),
    kwargs=st.dictionaries(st.from_regex(r"[a-z_]{1,6}", fullmatch=True), values, max_size=3),
    at=st.none() | st.lists(st.integers(0, 999), min_size=1, max_size=3),
)
def test_specs_print_back_what_they_parse(name, args, kwargs, at):
    spec = Spec(name, tuple(args), kwargs, None if at is None else tuple(at))
    assert parse_spec(str(spec)) == spec


def test_specs_nest():
    inner = "adaece:n_bins=25,convention=focal-calibration"
    spec = parse_spec(f"temperature:objective=({inner})")
    assert spec.kwargs == {"objective": inner}
    assert parse_spec(str(spec)) == spec
    assert parse_spec("temperature:objective=ece:n_bins=25").kwargs == {"objective": "ece:n_bins=25"}
    assert parse_spec("mmce:2,base=(focal-adaptive:5,3@0.19)").kwargs == {"base": "focal-adaptive:5,3@0.19"}


@pytest.mark.parametrize("text", ["", ":3", "ece:", "ece:,", "ece:n_bins=1,n_bins=2", "focal:3@x", "focal:3@1@2"])
def test_bad_specs(text):
    with pytest.raises(UsageError):
        parse_spec(text)


def test_lists_of_specs():
    assert split_specs("a,b:x=1,y=(p,q),c:2") == ["a", "b:x=1,y=(p,q)", "c:2"]
    assert split_specs("") == []


def test_calls_say_which_parameters_exist():
    def function(objective="nll", *, grid=None):
        return objective, grid

    assert call_with_spec(function, parse_spec("f:ece,grid=3"), "thing") == ("ece", 3)
    with pytest.raises(UsageError, match=r"thing 'f:x=1'.*Parameters: objective='nll', grid=None"):
        call_with_spec(function, parse_spec("f:x=1"), "thing")


def test_registry():
    registry = Registry("fruit")
    registry.register("apple", aliases=("pomme",))(1)
    assert registry["pomme"] == registry["apple"] == 1
    assert list(registry) == ["apple"]
    assert "pomme" in registry
    assert registry.aliases() == {"pomme": "apple"}
    for taken in ("apple", "pomme"):
        with pytest.raises(ValueError, match="registered already"):
            registry.register(taken)(2)
    with pytest.raises(NotFoundError, match="unknown fruit 'Aple'. Did you mean 'apple'"):
        registry["Aple"]
    with pytest.raises(LookupError):
        registry["zzz"]


def test_a_long_list_is_cut_where_something_lists_the_names():
    registry = Registry("fruit", listed_by="'basket'")
    for i in range(8):
        registry.register(f"apple{i}")(i)
    with pytest.raises(NotFoundError, match=r"apple6, apple7\.$"):
        registry["zzz"]
    registry.register("pear")(8)
    with pytest.raises(NotFoundError, match=r"Did you mean 'pear'\? Known: .*apple7, …; 'basket' lists all 9\.$"):
        registry["paer"]


class TestAtomicWrite:
    def test_rights_are_those_of_any_new_file(self, tmp_path):
        with atomic_write(tmp_path / "a.txt") as temporary:
            temporary.write_text("x")
        (tmp_path / "b.txt").write_text("x")
        assert stat.S_IMODE((tmp_path / "a.txt").stat().st_mode) == stat.S_IMODE((tmp_path / "b.txt").stat().st_mode)

    def test_an_error_leaves_what_was_there(self, tmp_path):
        (tmp_path / "a.txt").write_text("old")
        with pytest.raises(ZeroDivisionError), atomic_write(tmp_path / "a.txt") as temporary:
            temporary.write_text("new")
            raise ZeroDivisionError
        assert (tmp_path / "a.txt").read_text() == "old"
        assert [p.name for p in tmp_path.iterdir()] == ["a.txt"]

    def test_unwritable(self, tmp_path):
        with pytest.raises(FileFormatError, match="No such file"), atomic_write(tmp_path / "no" / "a.txt"):
            pass


@given(st.lists(st.text("ab", max_size=3), max_size=40))
def test_tree_sum_keeps_the_order(items):
    total = PairwiseSum()
    for item in items:
        total.add(item)
    assert total.result() == ("".join(items) if items else None)


def test_parameters_may_be_numbers_of_numpy():
    y, p = [0, 1, 1, 0], np.array([[0.9, 0.1], [0.2, 0.8], [0.6, 0.4], [0.7, 0.3]])
    assert metrics.s99(y, p, threshold=np.float32(0.5)) == metrics.s99(y, p, threshold=0.5)
    assert metrics.tace(y, p, threshold=np.float64(0.25), n_bins=np.int64(2)) == metrics.tace(
        y, p, threshold=0.25, n_bins=2
    )
    assert metrics.skce(y, p, width=np.int64(1)) == metrics.skce(y, p, width=1)
    assert get_view(TopK(np.int64(2))) == get_view("top-2")
    assert repr(TopK(np.int64(2))) == "TopK(k=2)"
    for value in (True, np.bool_(True), 1.5, "2", 0):
        with pytest.raises(UsageError, match="needs a positive whole number k"):
            TopK(value)
