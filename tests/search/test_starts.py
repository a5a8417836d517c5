"""A search of bit-widths begins with labelled starts, recorded with the study, and goes on with the same ones."""

from heterosis.core.contracts import Optimizer, Proposal
from heterosis.core.level_genes import LevelGenes
from heterosis.core.quantization.groups import Group
from heterosis.core.quantize_space import Quantize
from heterosis.search.level_record import LevelRecord, recorded_levels
from heterosis.search.mixes import MIXES
from heterosis.search.starts import starts
from heterosis.testing.architectures import architectures
from hypothesis import given, settings
from hypothesis import strategies as st


@settings(max_examples=40, deadline=None)
@given(architectures(), st.sampled_from([None, 3.5, 5.6]), st.booleans())
def test_starts_are_legal_distinct_and_within_the_budget(plan, budget, known):
    quantize = Quantize(levels=["int2-channel", "int3-channel", "int5-channel", "int8-channel"], budget=budget)
    levels = LevelGenes(quantize, plan)
    errors = {
        gene: {label: 4.0 ** -float(label[3]) for label in options} for gene, options in levels.costs.costs.items()
    }
    found = starts(levels, {"weight": 0.5}, errors if known else None)
    assert len({start.genome for start in found}) == len(found) == len({start.label for start in found})
    for start in found:
        assert start.genome["weight"] == 0.5
        assert levels.costs.fits(start.genome)
        for gene in levels.genes:
            assert gene.contains(start.genome[gene.name])
    labels = [start.label for start in found]
    for label in quantize.labels:
        uniform = levels.uniform(label)
        there = any({**uniform, "weight": 0.5} == dict(start.genome) for start in found)
        assert there == levels.costs.fits(uniform)
    assert any(label.startswith("allocation") for label in labels) == known


def rule(name):
    return next(mix.steps for mix in MIXES if mix.name == name)


def test_the_known_mixes():
    q4 = rule("Q4_K_M mix")
    assert [layer for layer in range(32) if q4(Group(layer, "down_proj"), 32)] == [
        0, 1, 2, 3, 6, 9, 12, 15, 18, 21, 24, 27, 28, 29, 30, 31
    ]  # fmt: skip
    assert not any(q4(Group(layer, "o_proj"), 32) for layer in range(32))
    dq3 = [rule("DQ3_K_M mix")(Group(layer, "experts"), 58) for layer in range(58)]
    assert (dq3.count(0), dq3.count(1), dq3.count(2)) == (44, 12, 2)
    assert dq3[:2] == [2, 2]
    assert rule("DQ3_K_M mix")(Group(3, "qkv"), 58) == 1
    assert rule("MoQE")(Group(3, "experts"), 8) == 0
    assert rule("ends higher")(Group(0, "qkv"), 8) == rule("ends higher")(Group(7, "qkv"), 8) == 1
    assert rule("ends higher")(Group(3, "qkv"), 8) == 0


def test_the_first_generation_is_the_starts_as_they_are_recorded(levelled):
    study = levelled()
    study.optimize(candidates=24)
    record = recorded_levels(study.record.id, study.store)
    assert record.starts
    first = [candidate.genome for candidate in study.candidates][: len(record.starts)]
    assert first == [start.genome for start in record.starts]
    labels = [start.label for start in record.starts]
    assert {"uniform int2-g16"} < set(labels)
    assert sum(label.startswith("allocation") for label in labels) >= 2
    assert LevelRecord.from_dict(record.to_dict()) == record
    limit = record.costs.limit
    assert all(record.costs.total(candidate.genome) <= limit for candidate in study.candidates)
    assert any("level swap" in candidate.record.operator for candidate in study.candidates)


def test_a_search_goes_on_with_the_starts_that_it_began_with(levelled, monkeypatch):
    whole = levelled("whole.db").optimize(candidates=26)
    parts = levelled("parts.db")
    parts.optimize(candidates=5)

    def never(*_):
        raise AssertionError("made again")

    monkeypatch.setattr("heterosis.search.level_record._made", never)
    again = levelled("parts.db").optimize(candidates=26)
    assert recorded_levels(again.record.id, again.store) == recorded_levels(whole.record.id, whole.store)
    assert [one.genome for one in again.candidates] == [one.genome for one in whole.candidates]


def test_a_study_may_begin_without_starts(levelled):
    study = levelled(starts=False).optimize(candidates=4)
    assert recorded_levels(study.record.id, study.store).starts == ()
    assert study.candidates[0].record.operator == "given"  # the middle
    assert levelled(starts=False).spec.starts is False


def test_genomes_given_by_the_user_come_first(levelled):
    study = levelled(first=["middle"]).optimize(candidates=3)
    starts = recorded_levels(study.record.id, study.store).starts
    assert study.candidates[1].genome == starts[0].genome
    assert study.candidates[0].genome != starts[0].genome


def test_an_optimizer_that_knows_no_first_is_not_given_any(levelled, install_plugin):
    class Plain(Optimizer):
        name = "plain"

        def __init__(self, space, directions, seed):
            self.space, self.asked = space, 0

        def ask(self, n):
            self.asked += 1
            low, high = self.space.bounds()
            return [Proposal(self.space.decode(low + (high - low) * (self.asked % 7) / 7), "plain")]

        def tell(self, results):
            pass

    install_plugin("optimizers", "plain", Plain)
    assert levelled(optimizer="plain").optimize(candidates=3).candidates[0].record.operator == "plain"


def test_a_study_without_levels_records_none(study):
    made = study()
    made.optimize(candidates=2)
    assert recorded_levels(made.record.id, made.store) is None
