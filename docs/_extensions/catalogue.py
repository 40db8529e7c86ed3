"""Writes the table of metrics that the user guide includes, from the declarations of the metrics."""

from pathlib import Path


def write_table(app):
    from calkit.metrics.catalogue import markdown

    Path(app.srcdir, "user_guide", "metrics_table.inc").write_text(markdown(), encoding="utf-8")


def setup(app):
    app.connect("builder-inited", write_table)
    return {"parallel_read_safe": True}
