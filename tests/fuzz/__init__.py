"""Damaged inputs by the thousand: each is read rightly or refused in one line.

``kinds/`` has one file a kind of input: how one is made from a seed, and the door it is given to. `harness` runs them,
``python -m tests.fuzz`` prints the table, and ``python -m tests.fuzz KIND --seed N --count 1`` gives one input again.
"""
