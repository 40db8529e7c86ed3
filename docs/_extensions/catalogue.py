"""Writes the tables of metrics and calibrators that the user guide includes, from their declarations."""

from pathlib import Path


def write_table(app):
    from calkit.calibrators import catalogue
    from calkit.metrics.catalogue import markdown

    Path(app.srcdir, "user_guide", "metrics_table.inc").write_text(markdown(), encoding="utf-8")
    Path(app.srcdir, "user_guide", "calibrators_list.inc").write_text(catalogue.markdown(), encoding="utf-8")


def setup(app):
    app.connect("builder-inited", write_table)
    return {"parallel_read_safe": True}
