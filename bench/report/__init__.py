"""What a load test found, for people and for machines: tables, JSON, charts as SVG."""

from bench.report.chart import Bar, Series, bar_chart, percentile_chart
from bench.report.result import Figure, Machine, Result, Run, run_of, this_machine
from bench.report.table import render_table, show_number, show_result

__all__ = [
    "Bar",
    "Figure",
    "Machine",
    "Result",
    "Run",
    "Series",
    "bar_chart",
    "percentile_chart",
    "render_table",
    "run_of",
    "show_number",
    "show_result",
    "this_machine",
]
