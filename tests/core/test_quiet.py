"""Nothing is drawn while heterosis loads, converts or writes; what the user has set holds afterwards."""

import pytest
import torch
from heterosis.core.checkpoints import open_checkpoint
from heterosis.core.executors import resident_model
from heterosis.core.quiet import no_progress_bars
from heterosis.testing.checkpoints import write_tiny
from huggingface_hub.utils import are_progress_bars_disabled, disable_progress_bars, enable_progress_bars
from transformers.utils import logging


@pytest.fixture(autouse=True)
def settings():
    yield
    logging.enable_progress_bar()


def test_loading_and_writing_draw_nothing(checkpoints, tmp_path, capfd):
    logging.enable_progress_bar()
    resident_model(open_checkpoint(str(checkpoints / "base")), torch.float32)
    write_tiny(tmp_path / "model")
    drawn = capfd.readouterr()
    assert drawn.out == drawn.err == ""


@pytest.mark.parametrize("transformers_draws", [True, False])
@pytest.mark.parametrize("hub_draws", [True, False])
def test_what_the_user_has_set_holds_afterwards(transformers_draws, hub_draws):
    (logging.enable_progress_bar if transformers_draws else logging.disable_progress_bar)()
    (enable_progress_bars if hub_draws else disable_progress_bars)()

    def fail():
        with no_progress_bars():
            assert not logging.is_progress_bar_enabled()
            raise RuntimeError

    with pytest.raises(RuntimeError):
        fail()
    assert logging.is_progress_bar_enabled() is transformers_draws
    assert are_progress_bars_disabled() is not hub_draws


def test_a_module_that_draws_by_itself_gets_its_own_back():
    import transformers.modeling_gguf_pytorch_utils as gguf

    drawing = gguf.tqdm
    with no_progress_bars():
        assert list(gguf.tqdm([1, 2], desc="Converting")) == [1, 2]
        assert gguf.tqdm is not drawing
    assert gguf.tqdm is drawing
