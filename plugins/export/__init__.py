"""Exporters: a planned model, written for the engine that will run it."""
