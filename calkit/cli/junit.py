"""Gates as JUnit XML, which the pages of continuous integration show: a test for each condition and evaluation."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from xml.etree import ElementTree as ET

from calkit.cli.thresholds import Threshold, judged
from calkit.evaluation import Evaluation
from calkit.printing import printable

__all__ = ["junit_text"]


def junit_text(
    thresholds: Sequence[Threshold],
    evaluations: Sequence[Evaluation],
    baselines: Sequence[Mapping[str, float]] | None = None,
) -> str:
    """Return which conditions held and which did not; parameters are those of :func:`calkit.cli.thresholds.broken`."""
    suite = ET.Element("testsuite", name="calkit evaluate")
    failures = 0
    for threshold, evaluation, baseline in judged(thresholds, evaluations, baselines):
        # Names are those of the conditions, not of what was found, so that pages can follow a test over time.
        case = ET.SubElement(
            suite, "testcase", classname=_class(evaluation), name=printable(f"fail if {threshold.text}")
        )
        if threshold.broken_by(evaluation, baseline):
            failures += 1
            message = printable(threshold.describe(evaluation, baseline))
            ET.SubElement(case, "failure", message=message, type="threshold").text = message
        else:
            ET.SubElement(case, "system-out").text = printable(
                threshold.finding(evaluation, baseline, word="fails if ")
            )
    suite.set("tests", str(len(suite)))
    suite.set("failures", str(failures))
    suites = ET.Element("testsuites")
    suites.append(suite)
    ET.indent(suites)
    return '<?xml version="1.0" encoding="UTF-8"?>\n' + ET.tostring(suites, encoding="unicode") + "\n"


def _class(evaluation: Evaluation) -> str:
    words = [evaluation.meta.get(key) for key in ("file", "split")]
    calibrator = evaluation.meta.get("calibrator")
    return printable(" ".join(str(word) for word in (*words, calibrator and calibrator["spec"]) if word))
