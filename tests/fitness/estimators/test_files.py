import numpy as np
import pytest
from heterosis.core import registry
from heterosis.core.errors import ConfigurationError, PluginError
from heterosis.fitness.estimators.files import load, make, save
from heterosis.testing.estimators import partly_asked, some_answers, some_references


@pytest.fixture(scope="module")
def responses():
    rng = np.random.default_rng(0)
    return partly_asked(some_answers(3, 40, rng), rng)


@pytest.mark.parametrize("name", registry.names("estimators"))
def test_an_estimator_comes_back_from_a_file(name, tmp_path, responses):
    estimator = make(name, seed=4)
    estimator.fit(some_references())
    save(estimator, tmp_path / "estimator.npz")
    found = load(tmp_path / "estimator.npz")
    assert (found.name, found.seed, found.options) == (name, 4, estimator.options)
    assert found.estimate(responses).mean == pytest.approx(estimator.estimate(responses).mean, abs=1e-9)
    assert np.array_equal(found.next_items(responses, 3), estimator.next_items(responses, 3))
    assert [path.name for path in tmp_path.iterdir()] == ["estimator.npz"]


def test_an_unknown_option_is_answered_with_the_nearest():
    with pytest.raises(ConfigurationError, match=r"no option 'bin'. Did you mean 'bins'\?"):
        make("stratified_mean", {"bin": 4})
    with pytest.raises(ConfigurationError, match="no option 'seed'"):
        make("stratified_mean", {"seed": 4})
    with pytest.raises(PluginError, match="Did you mean 'stratified_mean'"):
        make("stratified_means")


def test_a_file_that_is_none_is_refused(tmp_path):
    path = tmp_path / "estimator.npz"
    with pytest.raises(ConfigurationError, match="no file of an estimator"):
        load(path)
    path.write_bytes(b"PK\x03\x04 and then nothing")
    with pytest.raises(ConfigurationError, match="no file of an estimator"):
        load(path)
    np.savez(path, weights=np.ones(3))
    with pytest.raises(ConfigurationError, match="no file of an estimator"):
        load(path)
    np.savez(path, estimator=np.array({"name": "blup"}, dtype=object))
    with pytest.raises(ConfigurationError, match="allow_pickle"):
        load(path)


def test_a_file_that_lacks_something_is_refused(tmp_path):
    path = tmp_path / "estimator.npz"
    np.savez(path, estimator=np.array('{"name": "random_mean", "options": {}, "seed": 0}'), weights=np.ones(3))
    with pytest.raises(ConfigurationError, match="another version"):
        load(path)


def test_what_fails_to_be_written_leaves_what_was_there(tmp_path, monkeypatch):
    estimator = make("random_mean")
    estimator.fit(some_references())
    path = tmp_path / "estimator.npz"
    save(estimator, path)
    before = path.read_bytes()
    monkeypatch.setattr(estimator, "order", np.array([{}], dtype=object))
    with pytest.raises(PluginError, match="keeps objects"):
        save(estimator, path)
    monkeypatch.undo()
    monkeypatch.setattr(np, "savez_compressed", lambda *_, **__: (_ for _ in ()).throw(OSError("disk full")))
    with pytest.raises(OSError, match="disk full"):
        save(estimator, path)
    assert path.read_bytes() == before
    assert [found.name for found in tmp_path.iterdir()] == ["estimator.npz"]
