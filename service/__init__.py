"""The faces: command line, figures."""
