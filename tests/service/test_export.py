"""`heterosis export`: the winner, any candidate, any recipe."""

import torch
from safetensors.torch import load_file


def tensors(folder):
    return load_file(folder / "model.safetensors")


def test_the_winner_is_exported_as_run_did(finished, heterosis):
    folder, _ = finished
    heterosis(folder, "export", "winner")
    ours, earlier = tensors(folder / "winner"), tensors(folder / "tiny" / "merged")
    assert all(torch.equal(ours[name], earlier[name]) for name in earlier)


def test_a_candidate_and_its_recipe_give_the_same_model(finished, heterosis):
    folder, _ = finished
    heterosis(folder, "export", 3, "three")
    heterosis(folder, "export", "--recipe", "three/recipe.yaml", "again")
    ours, again = tensors(folder / "three"), tensors(folder / "again")
    assert all(torch.equal(ours[name], again[name]) for name in ours)


def test_paths_of_a_recipe_start_at_its_folder(tmp_path, checkpoints, heterosis):
    (tmp_path / "models").symlink_to(checkpoints)
    recipe = "merge_method: linear\nmodels: [{model: models/one, parameters: {weight: 1}}]\n"
    (tmp_path / "recipe.yaml").write_text(recipe)
    (tmp_path / "below").mkdir()
    heterosis(tmp_path / "below", "export", "--recipe", "../recipe.yaml", "out")
    assert torch.equal(
        tensors(tmp_path / "below" / "out")["model.norm.weight"], tensors(checkpoints / "one")["model.norm.weight"]
    )


def test_what_is_refused(finished, heterosis, tmp_path):
    folder, _ = finished
    assert "not empty" in heterosis(folder, "export", "tiny", code=1).stderr
    assert "numbered from 0" in heterosis(folder, "export", 99, "x", code=1).stderr
    assert "safetensors" in heterosis(folder, "export", "x", "--format", "safetensor", code=1).stderr
    assert "a candidate's number" in heterosis(folder, "export", "a", "b", code=1).stderr
    assert "cannot be read" in heterosis(tmp_path, "export", "--recipe", "none.yaml", "x", code=1).stderr
    assert not (folder / "x").exists()
