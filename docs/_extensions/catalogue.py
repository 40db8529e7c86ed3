"""Writes the tables that the user guide includes, from the declarations of what they list."""

from importlib import import_module
from pathlib import Path

_TABLES = {
    "metrics_table.inc": "calkit.metrics.catalogue",
    "calibrators_list.inc": "calkit.calibrators.catalogue",
    "formats_table.inc": "calkit.io.catalogue",
    "plots_table.inc": "calkit.plotting.catalogue",
    "losses_table.inc": "calkit_torch.losses.catalogue",
}


def write_table(app):
    for name, module in _TABLES.items():
        text = import_module(module).markdown()
        Path(app.srcdir, "user_guide", name).write_text(text, encoding="utf-8")


def setup(app):
    app.connect("builder-inited", write_table)
    return {"parallel_read_safe": True}
