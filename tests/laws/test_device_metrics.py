"""Every registered metric on devices: the core's value for every target, or one clear refusal."""

import pytest

from calkit.metrics import available_metrics

testing = pytest.importorskip("calkit_torch.testing")


@pytest.mark.parametrize("spec", [*available_metrics(), "ece:n_bins=300", "ece:binning=quantile", "s99:threshold=0.5"])
def test_law(spec):
    testing.check_device_metric(spec)


def test_a_wrong_counter_is_caught(monkeypatch):
    from calkit.stats import RowMean
    from calkit_torch.bridge.counters import COUNTERS

    class Wrong(COUNTERS[RowMean]):
        def values(self, rows):
            return super().values(rows) + 1e-6

    monkeypatch.setitem(COUNTERS, RowMean, Wrong)
    with pytest.raises(AssertionError, match="brier of top"):
        testing.check_device_metric("brier")
