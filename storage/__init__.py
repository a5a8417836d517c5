"""The database: tables, migrations, and the repository of studies, candidates and responses."""

from .owners import this_process
from .records import (
    CHECK_PART,
    LATER_PARTS,
    REST_PART,
    RETEST_PART,
    ArtifactRecord,
    AskRecord,
    CandidateRecord,
    EvaluationRecord,
    Event,
    ItemSet,
    Lineage,
    NewProposal,
    Relative,
    Responses,
    Stage,
    StudyRecord,
    StudyState,
    ToldRecord,
)
from .store import Store

__all__ = [
    "CHECK_PART",
    "LATER_PARTS",
    "REST_PART",
    "RETEST_PART",
    "ArtifactRecord",
    "AskRecord",
    "CandidateRecord",
    "EvaluationRecord",
    "Event",
    "ItemSet",
    "Lineage",
    "NewProposal",
    "Relative",
    "Responses",
    "Stage",
    "Store",
    "StudyRecord",
    "StudyState",
    "ToldRecord",
    "this_process",
]
