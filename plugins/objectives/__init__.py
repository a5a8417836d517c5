"""Objectives: numbers to maximise or minimise."""
