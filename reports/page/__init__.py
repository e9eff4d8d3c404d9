"""The page: a report as a folder that a browser opens from disk, from the tables down to single images.

`of_store` and `of_pair` say what it shows, of one store and of two; `content` is what any page is made of, `write`
writes the files.
"""

from bench.reports.page.content import Content
from bench.reports.page.of_pair import Side, of_pair
from bench.reports.page.of_store import of_store
from bench.reports.page.origin import options
from bench.reports.page.write import single, write

__all__ = ["Content", "Side", "of_pair", "of_store", "options", "single", "write"]
