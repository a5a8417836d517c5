"""References as mergekit writes them: a model of the hub by its bare name, and an adapter after the model it is for."""

import pytest
import torch
from heterosis.core.checkpoints import SourceSet, open_checkpoint
from heterosis.core.errors import CheckpointError


class Hub:
    """A hub with one model."""

    folder = None

    def fetch(self, reference, cache, progress):
        if reference != "owner/model@main":
            raise CheckpointError(f"the hub has no {reference}")
        return self.folder


@pytest.fixture
def hub(checkpoints, install_plugin, monkeypatch):
    monkeypatch.setattr(Hub, "folder", checkpoints / "one")
    install_plugin("providers", "hub", Hub)


def test_a_bare_name_is_looked_for_on_the_hub(hub, checkpoints, tmp_path):
    assert open_checkpoint("owner/model@main", tmp_path).directory == checkpoints / "one"


def test_a_name_that_is_nowhere_says_both(hub, tmp_path):
    with pytest.raises(CheckpointError, match=r"no checkpoint at .*owner/other.*the hub has no owner/other"):
        open_checkpoint("owner/other", tmp_path)


@pytest.mark.parametrize("reference", ["folder/other", "../other", "/owner/model", "other", "a/b/c"])
def test_what_looks_like_a_path_is_not_asked_of_the_hub(reference, hub, tmp_path):
    (tmp_path / "folder").mkdir()
    with pytest.raises(CheckpointError) as raised:
        open_checkpoint(reference, tmp_path)
    assert "hub has" not in str(raised.value)


@pytest.mark.parametrize("model", ["base", "one"])
def test_an_adapter_may_name_the_model_it_is_for(model, checkpoints):
    named = f"{model}+lora-one"
    sources = SourceSet("base", [named], checkpoints)
    expected = SourceSet(model, ["lora-one"], checkpoints)["lora-one"]
    query = "model.layers.0.self_attn.q_proj.weight"
    assert sources[named].reference == named
    assert torch.equal(sources[named].read(query), expected.read(query))
