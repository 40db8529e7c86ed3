"""Formulas as MathML, which browsers show by themselves: the built pages load nothing from a network."""

from html import escape

from latex2mathml.converter import convert


def _inline(translator, node):
    translator.body.append(convert(node.astext()))
    raise _skip()


def _display(translator, node):
    number = f'<span class="eqno">({escape(str(node["number"]))})</span>' if node.get("number") else ""
    formula = convert(node.astext(), display="block")
    translator.body.append(f'<div class="math">{number}{formula}</div>\n')
    raise _skip()


def _skip():
    from docutils.nodes import SkipNode

    return SkipNode()


def setup(app):
    """Register the renderer; ``html_math_renderer = "mathml"`` chooses it."""
    app.add_html_math_renderer("mathml", (_inline, None), (_display, None))
    return {"parallel_read_safe": True, "parallel_write_safe": True}
