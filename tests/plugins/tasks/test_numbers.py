from decimal import Decimal

import pytest
from heterosis.plugins.tasks.numbers import read_numbers
from hypothesis import given
from hypothesis import strategies as st


@pytest.mark.parametrize(
    ("text", "numbers"),
    [
        ("1,234", "1234"),
        ("3.5", "3.5"),
        ("-7", "-7"),
        ("−7", "-7"),
        ("x = -7.", "-7"),
        ("10-7", "10 7"),
        ("(5)-3", "5 3"),
        ("12 + 5 = 17.", "12 5 17"),
        ("1,234,567.89 and 12,34", "1234567.89 12 34"),
        ("$1,234.", "1234"),
        ("1,2345", "1 2345"),
        (".5 a.5", "0.5 0.5"),
        ("version 1.2.3", "1.2 3"),
        ("COVID-19, the 7th", "19 7"),
        ("1e5 2E-3 3e 4em", "1e5 2e-3 3 4"),
        ("from 1 to 2, 3, 4", "1 2 3 4"),
        ("$1,234.50", "1234.50"),
        ("-$1,234.50 and $-7", "-1234.50 -7"),
        ("7-$5", "7 5"),
        ("3.5%, -3.5 %", "3.5 -3.5"),
        ("-7°C. Then -8, they say", "-7 -8"),
        ("1.234.567", "1234567"),
        ("It was 1.234.567. Or -€1.234.567,89!", "1234567 -1234567.89"),
        ("1.234 and 1.234.56", "1.234 1.234 56"),
        ("1,234, 5,678", "1234 5678"),
        ("no number", ""),
        ("", ""),
    ],
)
def test_numbers_are_read_as_english_writes_them(text, numbers):
    assert read_numbers(text) == [Decimal(number) for number in numbers.split()]


@given(st.decimals(allow_nan=False, allow_infinity=False, places=3, min_value=-(10**12), max_value=10**12))
def test_a_number_that_is_written_is_read_back(number):
    assert read_numbers(f"It is {number:f}.") == [number]
    assert read_numbers(f"It is {number:,f}.") == [number]


@given(st.text())
def test_any_text_can_be_read(text):
    assert all(number.is_finite() for number in read_numbers(text))
