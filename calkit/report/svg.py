"""Matplotlib figures as SVG that stands inside a page: it takes the page's colours and its width, and has alt text."""

from __future__ import annotations

import io
import re
import xml.etree.ElementTree as ET
from collections.abc import MutableMapping
from typing import TYPE_CHECKING, TypeAlias

from calkit.printing import escape_texts, printable

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["Glyphs", "inline_svg", "shared_glyphs"]

#: Outlines of letters that several figures of a page share, by their id.
Glyphs: TypeAlias = MutableMapping[str, str]

# Colours that stand for those of the page; nothing else is drawn in them.
_INK, _SOFT = "#010203", "#040506"
_PAGE_COLOURS = {
    _INK: "var(--ink)",
    _SOFT: "var(--soft)",
    "#ffffff": "var(--paper)",
    "#404040": "var(--soft)",
    # Of reference lines, and of the small ticks of logarithmic axes.
    "#000000": "var(--ink)",
}
_REFERENCE = re.compile(r"url\(#([^)]+)\)")
_NUMBER = re.compile(r"-?\d+\.\d{3,}")
# Matplotlib scales the outlines of letters so; they alone have this.
_GLYPH_SCALE = "scale(0.015625)"
# Marks references that go to another element of the page.
_SHARED = "page:"


def inline_svg(figure: Figure, *, prefix: str, alt: str, glyphs: Glyphs | None = None) -> str:
    """Draw a figure as an ``<svg>`` element.

    Parameters
    ----------
    figure : matplotlib Figure
        Its texts, frames and ticks are recoloured.
    prefix : str
        What ids begin with; must differ from figure to figure of the page.
    alt : str
        What the picture shows, in words.
    glyphs : mutable mapping, optional
        Where to put the outlines of the letters instead of into the figure; see :func:`shared_glyphs`.

    Returns
    -------
    str
        Markup without scripts, styles or links; it is the same for the same figure.
    """
    escape_texts(figure)
    _take_page_colours(figure)
    buffer = io.StringIO()
    figure.savefig(buffer, format="svg", facecolor="none", edgecolor="none")
    root = ET.fromstring(buffer.getvalue())  # noqa: S314 (matplotlib wrote it a line above)
    _without_namespaces(root)
    for parent in list(root.iter()):
        for child in [item for item in parent if item.tag in ("metadata", "style")]:
            parent.remove(child)
    if glyphs is not None:
        _take_glyphs(root, glyphs)
    _rename_ids(root, prefix)
    _tidy(root)
    _flatten(root)
    attributes = {"viewBox": root.attrib["viewBox"], "role": "img", "aria-label": printable(alt)}
    root.attrib.clear()
    root.attrib.update(attributes)
    return ET.tostring(root, encoding="unicode")


def shared_glyphs(glyphs: Glyphs) -> str:
    """Return the element with the outlines that figures have in common; it shows nothing by itself."""
    root = ET.Element("svg", {"width": "0", "height": "0", "aria-hidden": "true", "class": "glyphs"})
    for name in sorted(glyphs):
        ET.SubElement(root, "path", {"id": name, "d": glyphs[name], "transform": _GLYPH_SCALE})
    return ET.tostring(root, encoding="unicode")


def _take_glyphs(root: ET.Element, glyphs: Glyphs) -> None:
    """Move outlines of letters out of the figure. Matplotlib names them by font and letter, so that names agree."""
    taken = {}
    for parent in list(root.iter()):
        for child in [item for item in parent if item.tag == "path" and item.get("transform") == _GLYPH_SCALE]:
            name = "g-" + child.attrib["id"]
            taken[f"#{child.attrib['id']}"] = name
            # A blank has no outline.
            glyphs[name] = " ".join(child.attrib.get("d", "").split())
            parent.remove(child)
    for element in root.iter("use"):
        if element.attrib["href"] in taken:
            element.attrib["href"] = _SHARED + taken[element.attrib["href"]]


def _flatten(root: ET.Element) -> None:
    """Drop groups that say nothing, and empty definitions."""
    for parent in list(root.iter()):
        children: list[ET.Element] = []
        waiting = list(parent)
        while waiting:
            child = waiting.pop(0)
            if child.tag in ("g", "defs") and not len(child):
                continue
            if child.tag == "g" and not child.attrib:
                waiting[:0] = list(child)
                continue
            children.append(child)
        parent[:] = children


def _take_page_colours(figure: Figure) -> None:
    for ax in figure.axes:
        ax.patch.set_facecolor("none")
        ax.tick_params(colors=_INK)
        for spine in ax.spines.values():
            spine.set_edgecolor(_SOFT)
        # Looking for texts among all artists would make the ticks several times over.
        for text in (ax.title, ax.xaxis.label, ax.yaxis.label, *ax.texts):
            text.set_color(_INK)


def _without_namespaces(root: ET.Element) -> None:
    for element in root.iter():
        element.tag = element.tag.rpartition("}")[2]
        for key in [name for name in element.attrib if "}" in name]:
            element.attrib[key.rpartition("}")[2]] = element.attrib.pop(key)


def _rename_ids(root: ET.Element, prefix: str) -> None:
    """Give ids that are referred to names of the figure's own, in order; drop the others."""
    used = set()
    for element in root.iter():
        for key, value in element.attrib.items():
            used.update(_REFERENCE.findall(value))
            if key == "href":
                used.add(value.removeprefix("#"))
    names: dict[str, str] = {}
    for element in root.iter():
        name = element.attrib.pop("id", None)
        if name in used and name is not None:
            element.attrib["id"] = names.setdefault(name, f"{prefix}-{len(names)}")
    for element in root.iter():
        for key, value in element.attrib.items():
            if key == "href":
                shared = value.startswith(_SHARED)
                element.attrib[key] = "#" + (value.removeprefix(_SHARED) if shared else names[value.removeprefix("#")])
            elif "url(#" in value:
                element.attrib[key] = _REFERENCE.sub(lambda found: f"url(#{names[found[1]]})", value)


def _tidy(root: ET.Element) -> None:
    """Take the page's colours, and leave out decimals that nobody sees."""
    for element in root.iter():
        for key in ("style", "fill", "stroke"):
            if key in element.attrib:
                for colour, variable in _PAGE_COLOURS.items():
                    element.attrib[key] = element.attrib[key].replace(colour, variable)
        for key in ("d", "x", "y", "width", "height"):
            if key in element.attrib:
                element.attrib[key] = _NUMBER.sub(lambda found: f"{float(found[0]):.2f}", element.attrib[key])
        if element.text and not element.text.strip():
            element.text = None
        if element.tail and not element.tail.strip():
            element.tail = None
        if "d" in element.attrib:
            element.attrib["d"] = " ".join(element.attrib["d"].split())
