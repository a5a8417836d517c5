"""How much of a file of texts statistics are gathered on, unless one says otherwise."""

DEFAULT_TOKENS = 1 << 16
DEFAULT_LENGTH = 512
