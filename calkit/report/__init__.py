"""Reports: what was measured, as plain data; and that data as one HTML page or as JSON."""

from calkit.report.build import make_report
from calkit.report.entries import Entry
from calkit.report.model import Report
from calkit.report.render import REPORT_FORMATS, render_report
from calkit.report.slider import TemperatureSlider

__all__ = ["REPORT_FORMATS", "Entry", "Report", "TemperatureSlider", "make_report", "render_report"]
