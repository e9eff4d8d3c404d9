"""Where base maps are too high or too low, and what each refiner leaves of it: ``bench report --bias``."""

from __future__ import annotations

from bench.reports.bias.sheets import measured, missing, sheets

__all__ = ["measured", "missing", "sheets"]
