"""Numbers in text, read as English writes them: a comma groups thousands, a point begins the fraction.

Where points can only be groups, because there are several (1.234.567,8), they are read so.
"""

from __future__ import annotations

import re
from decimal import Decimal

_NUMBER = re.compile(
    r"""
    (?P<sign> (?<![\w)\]]) [-+−] )?      # after a letter, digit or bracket it is a hyphen or an operation
    [$€£¥]?                              # -$5
    (?:
        (?P<pointed> (?<![\d.,]) \d{1,3} (?: \.\d{3} ){2,} (?!\.?\d) )  # 1.234.567
        (?: ,(?P<rest> \d+) )?
    |
        (?P<digits>
            (?<![\d.,]) \d{1,3} (?: ,\d{3} )+ (?!\d)  # 1,234
            | \d+                        # 1234
            | (?<!\d) (?= \.\d )         # .5
        )
        (?P<fraction> \.\d+ )?
        (?P<exponent> [eE][-+]?\d{1,3} (?!\w) )?
    )
    """,
    re.VERBOSE,
)


def read_numbers(text: str) -> list[Decimal]:
    """The numbers in the text, exactly, in order.

    >>> read_numbers("from 1,234 down to -7.50, that is 3-2")
    [Decimal('1234'), Decimal('-7.50'), Decimal('3'), Decimal('2')]
    """
    return [_number(match) for match in _NUMBER.finditer(text)]


def _number(match: re.Match[str]) -> Decimal:
    sign = (match["sign"] or "").replace("−", "-")
    if match["pointed"]:
        return Decimal(f"{sign}{match['pointed'].replace('.', '')}.{match['rest'] or 0}")
    whole = match["digits"].replace(",", "") or "0"
    return Decimal(sign + whole + (match["fraction"] or "") + (match["exponent"] or ""))
