"""The page: a report as a folder that a browser opens from disk, from the tables down to single images.

`lines` says which rows there are, `tables`, `values`, `pictures` and `origin` what is shown of them, `write` the files.
"""

from bench.reports.page.origin import options
from bench.reports.page.write import Content, single, write

__all__ = ["Content", "options", "single", "write"]
