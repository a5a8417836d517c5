"""What fits a class fits every device that takes the class."""

import pytest
from heterosis.workers.memory_classes import ANY, MEMORY_CLASSES, class_of, classes_for
from hypothesis import given
from hypothesis import strategies as st

_BYTES = st.integers(0, 400 * 10**9)


@pytest.mark.parametrize(
    ("sold_as", "shown_bytes", "largest"),
    [
        ("T4", 15_828_320_256, "16g"),
        ("L4", 23_667_539_968, "24g"),
        ("RTX 4090", 25_250_627_584, "24g"),
        ("A40", 47_810_936_832, "48g"),
        ("A100", 85_093_842_944, "80g"),
        ("H200", 150_109_880_320, "160g"),
    ],
)
def test_a_device_takes_the_class_that_it_is_sold_as(sold_as, shown_bytes, largest):
    assert classes_for(shown_bytes)[0] == largest


def test_what_is_unknown_or_too_large_is_left_to_the_claim():
    assert class_of(None) == class_of(10**12) == ANY


def test_the_smallest_device_takes_only_what_fits_any():
    assert classes_for(0) == (ANY,)


@given(need=_BYTES, memory=_BYTES)
def test_a_worker_is_never_woken_for_what_cannot_fit(need, memory):
    if class_of(need) in classes_for(memory):
        assert need <= memory or class_of(need) == ANY


@given(need=_BYTES, smaller=_BYTES, larger=_BYTES)
def test_a_larger_device_takes_all_that_a_smaller_one_does(need, smaller, larger):
    if smaller <= larger:
        assert set(classes_for(smaller)) <= set(classes_for(larger)) <= set(MEMORY_CLASSES)
