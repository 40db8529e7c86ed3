"""Every registered plot under every law, unasked."""

import pytest

from calkit.plotting import PLOTS, available_plots
from calkit.testing import PLOT_LAWS, check_plot


@pytest.mark.parametrize("law", PLOT_LAWS)
@pytest.mark.parametrize("name", available_plots())
def test_law(name, law):
    PLOT_LAWS[law](PLOTS[name])


def test_a_broken_plot_is_caught(monkeypatch):
    class Ragged(PLOTS["risk-coverage"]):
        def columns(self):
            return {**super().columns(), "odd": [1.0]}

    monkeypatch.setitem(PLOTS._items, "ragged", Ragged)
    with pytest.raises(AssertionError, match="several lengths"):
        check_plot("ragged")
