"""Where memory runs out, smaller batches are tried before it counts as a failure."""

import pytest
import torch
from heterosis.fitness.device_memory import is_out_of_memory, with_less_memory


class Work:
    """Runs out of memory in batches of more than `room`."""

    def __init__(self, room, batch=512, error=MemoryError):
        self.room, self.batch, self.error = room, batch, error
        self.tried = []

    def __call__(self):
        self.tried.append(self.batch)
        if self.batch > self.room:
            raise self.error("no room")
        return "done"

    def halve(self):
        if self.batch <= 64:
            return False
        self.batch //= 2
        return True


@pytest.mark.parametrize("error", [MemoryError, torch.OutOfMemoryError])
def test_batches_are_halved_until_they_fit(error):
    work = Work(room=200, error=error)
    assert with_less_memory(work, work.halve) == "done"
    assert work.tried == [512, 256, 128]


def test_where_even_the_smallest_do_not_fit_it_fails():
    work = Work(room=10)
    with pytest.raises(MemoryError, match=r"no room \(in the smallest batches, too\)"):
        with_less_memory(work, work.halve)
    assert work.tried == [512, 256, 128, 64]


def test_other_errors_are_not_tried_again():
    work = Work(room=10, error=RuntimeError)
    with pytest.raises(RuntimeError, match="no room"):
        with_less_memory(work, work.halve)
    assert work.tried == [512]


def test_the_allocator_of_the_host_is_understood():
    with pytest.raises(RuntimeError) as found:
        torch.empty(1 << 55, dtype=torch.int64)
    assert is_out_of_memory(found.value)
