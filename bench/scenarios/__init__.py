"""What is asked of whom: the scenarios, each a name, a line and a function.

Idea: most are the same load with other requests, settings and objects behind: rows of a table. The
others are functions of their own, with what they measure beside.
"""

from bench.scenarios.catalogue import SCENARIOS, Scenario
from bench.scenarios.stage import Options

__all__ = ["SCENARIOS", "Options", "Scenario"]
