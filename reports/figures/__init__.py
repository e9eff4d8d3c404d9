"""Pictures of a report for print, drawn by matplotlib without a screen: ``bench report --figures``."""

from __future__ import annotations

from bench.reports.figures.canvas import FORMS, Form
from bench.reports.figures.drawing import Drawing, write
from bench.reports.figures.gathering import Gathering
from bench.reports.figures.quality import gain_over_quality
from bench.reports.figures.ranks import critical_difference

__all__ = ["FORMS", "Drawing", "Form", "Gathering", "critical_difference", "gain_over_quality", "write"]
