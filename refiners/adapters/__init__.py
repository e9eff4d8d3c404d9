"""Refiners that are finished elsewhere: a network in a file, and maps that another tool has refined."""
