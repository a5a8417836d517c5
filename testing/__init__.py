"""Conformance checks: one per plugin contract, for our own plugins and anybody's."""
