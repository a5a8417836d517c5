"""One ask on its way into the database, whose cost depends on the ask and not on the study."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, literal, select

from ..core.errors import PluginError
from . import tables
from .candidates import next_number
from .evaluations import evaluation_row, queued_payload
from .events import append, event_row
from .ids import new_id
from .inserts import insert_all
from .look_up import look_up
from .records import NewProposal, Stage


class Recording:
    """Writes in the transaction that it is given; what it has to know of the study is looked up, never all there is."""

    def __init__(self, connection: Connection, now: datetime, study_id: str, ask_no: int, stage: Stage) -> None:
        self._connection, self._now = connection, now
        self._study_id, self._ask_no, self._stage = study_id, ask_no, stage

    def record(self, proposals: Sequence[NewProposal]) -> None:
        """Numbers and queues the candidates that are new.

        Raises:
            PluginError: a proposal names a parent that is not there.
        """
        known = self._known([proposal.fingerprint for proposal in proposals])
        new: dict[str, NewProposal] = {}
        for proposal in proposals:
            if proposal.fingerprint not in known:
                new.setdefault(proposal.fingerprint, proposal)
        known |= self._add(list(new.values()))
        rows = [
            {
                "study_id": self._study_id,
                "ask_no": self._ask_no,
                "position": position,
                "candidate_id": known[proposal.fingerprint],
                "operator": proposal.operator,
            }
            for position, proposal in enumerate(proposals)
        ]
        insert_all(self._connection, tables.proposals, rows)
        payload = {"proposals": len(proposals)}
        append(self._connection, self._now, "ask.recorded", str(self._ask_no), study_id=self._study_id, payload=payload)

    def _known(self, fingerprints: Sequence[str]) -> dict[str, str]:
        """The ids of the bred candidates that have these fingerprints."""
        table = tables.candidates
        # Written out, as a bound value would not tell the database that the index on these alone will do.
        bred = table.c.kind == literal("bred", literal_execute=True)
        query = select(table.c.fingerprint, table.c.id).where(table.c.study_id == self._study_id, bred)
        return look_up(self._connection, query, table.c.fingerprint, fingerprints)

    def _add(self, proposals: Sequence[NewProposal]) -> dict[str, str]:
        """Makes candidates of them; their ids by fingerprint."""
        first = next_number(self._connection, self._study_id)
        parents = self._parents(proposals, first)
        rows = [self._row(number, proposal) for number, proposal in enumerate(proposals, first)]
        insert_all(self._connection, tables.candidates, rows)
        links = [
            {
                "child_id": row["id"],
                "ordinal": place,
                "parent_candidate_id": parents[parent],
                "operator": proposal.operator,
            }
            for row, proposal in zip(rows, proposals, strict=True)
            for place, parent in enumerate(proposal.parents)
        ]
        insert_all(self._connection, tables.candidate_parents, links)
        self._queue(rows, proposals)
        return {row["fingerprint"]: row["id"] for row in rows}

    def _parents(self, proposals: Sequence[NewProposal], before: int) -> dict[int, str]:
        """The ids of all parents by number, of which there are `before`."""
        numbers = list(dict.fromkeys(parent for proposal in proposals for parent in proposal.parents))
        strangers = [number for number in numbers if not 0 <= number < before]
        if strangers:
            raise PluginError(
                f"the optimizer names candidate {strangers[0]} as a parent; "
                f"before this ask the study has {before} candidates, numbered from 0"
            )
        table = tables.candidates
        query = select(table.c.number, table.c.id).where(table.c.study_id == self._study_id)
        return look_up(self._connection, query, table.c.number, numbers)

    def _row(self, number: int, proposal: NewProposal) -> dict[str, Any]:
        return {
            "id": new_id(),
            "study_id": self._study_id,
            "kind": "bred",
            "number": number,
            "ask_no": self._ask_no,
            "genome_json": proposal.genome.to_json(),
            "recipe_json": dict(proposal.recipe),
            "fingerprint": proposal.fingerprint,
            "state": "proposed",
            "created_at": self._now,
        }

    def _queue(self, rows: Sequence[Mapping[str, Any]], proposals: Sequence[NewProposal]) -> None:
        """Queues the evaluations of new candidates, and writes the events of both."""
        evaluations = []
        entries = []
        for row, proposal in zip(rows, proposals, strict=True):
            payload = {"number": row["number"], "operator": proposal.operator}
            entries.append(event_row(self._now, "candidate.proposed", row["id"], self._study_id, payload))
            if proposal.eval_key is not None:
                queued = evaluation_row(self._now, row["id"], self._stage, proposal.eval_key)
                evaluations.append(queued)
                said = queued_payload(self._stage)
                entries.append(event_row(self._now, "evaluation.queued", queued["id"], self._study_id, said))
        insert_all(self._connection, tables.evaluations, evaluations)
        insert_all(self._connection, tables.events, entries)
