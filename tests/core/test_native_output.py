"""What compiled libraries print is dropped, what Python prints before and after is not."""

import ctypes
import os

import pytest
from heterosis.core.native_output import native_output_dropped


def test_only_what_is_printed_meanwhile_is_dropped(capfd):
    libc = ctypes.CDLL(None)
    print("before")
    with native_output_dropped():
        libc.printf(b"buffered by the C library\n")
        os.write(1, b"written\n")
    libc.printf(b"after\n")
    libc.fflush(None)
    assert capfd.readouterr().out == "before\nafter\n"


def test_standard_output_is_back_after_an_error(capfd):
    with pytest.raises(KeyError), native_output_dropped():
        raise KeyError("a")
    os.write(1, b"seen\n")
    assert capfd.readouterr().out == "seen\n"
