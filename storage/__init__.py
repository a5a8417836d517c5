"""The database: tables, migrations, and the repository of studies, candidates and responses."""

from .claims import Waiting
from .evaluations import UNASSIGNED
from .heartbeat import Heartbeat
from .owners import is_dead, this_process
from .records import (
    CHECK_PART,
    LATER_PARTS,
    REST_PART,
    RETEST_PART,
    ArtifactRecord,
    AskRecord,
    CandidateRecord,
    Claim,
    Ending,
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
    WorkerRecord,
    WorkerState,
)
from .store import Store

__all__ = [
    "CHECK_PART",
    "LATER_PARTS",
    "REST_PART",
    "RETEST_PART",
    "UNASSIGNED",
    "ArtifactRecord",
    "AskRecord",
    "CandidateRecord",
    "Claim",
    "Ending",
    "EvaluationRecord",
    "Event",
    "Heartbeat",
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
    "Waiting",
    "WorkerRecord",
    "WorkerState",
    "is_dead",
    "this_process",
]
