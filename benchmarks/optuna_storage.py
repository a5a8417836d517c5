"""Optuna's RDB storage: what a trial of random search costs it when a study has so many trials already."""

from __future__ import annotations

import time
from datetime import datetime

import optuna
from optuna.storages import RDBStorage
from optuna.storages._rdb import models
from optuna.trial import TrialState
from sqlalchemy import func, insert, select


class OptunaStudy:
    """A study of `genes` uniform parameters and one value, asked and told through Optuna's public interface.

    It is filled up in bulk, with rows equal to those that a finished trial leaves: through `create_new_trial`, the only
    way that its interface offers, 100,000 trials would take hours.
    """

    def __init__(self, url: str, genes: int) -> None:
        optuna.logging.set_verbosity(optuna.logging.WARNING)
        self._storage = RDBStorage(url)
        sampler = optuna.samplers.RandomSampler(seed=0)
        self._study = optuna.create_study(storage=self._storage, sampler=sampler, direction="maximize")
        self._names = [f"weight/source{number}" for number in range(genes)]
        self.trials = 0

    def run(self, trials: int) -> float:
        """Mean wall-clock seconds of a trial, over so many more."""
        started = time.perf_counter()
        for _ in range(trials):
            trial = self._study.ask()
            for name in self._names:
                trial.suggest_float(name, 0.0, 1.5)
            self._study.tell(trial, 0.5)
        self.trials += trials
        return (time.perf_counter() - started) / trials

    def fill(self, trials: int) -> None:
        """Up to so many trials, all of them finished."""
        with self._storage.engine.begin() as connection:
            first = (connection.scalar(select(func.max(models.TrialModel.trial_id))) or 0) + 1
            ids = range(first, first + trials - self.trials)
            now = datetime.now()
            rows = [
                {
                    "trial_id": id_,
                    "number": number,
                    "study_id": self._study._study_id,
                    "state": TrialState.COMPLETE,
                    "datetime_start": now,
                    "datetime_complete": now,
                }
                for number, id_ in enumerate(ids, self.trials)
            ]
            pattern = connection.execute(select(models.TrialParamModel.__table__).limit(1)).mappings().one()
            described = pattern["distribution_json"]
            parameters = [
                {"trial_id": id_, "param_name": name, "param_value": 0.5, "distribution_json": described}
                for id_ in ids
                for name in self._names
            ]
            kind = models.TrialValueModel.TrialValueType.FINITE
            values = [{"trial_id": id_, "objective": 0, "value": 0.5, "value_type": kind} for id_ in ids]
            if rows:
                connection.execute(insert(models.TrialModel), rows)
                connection.execute(insert(models.TrialParamModel), parameters)
                connection.execute(insert(models.TrialValueModel), values)
            if connection.dialect.name == "postgresql":
                last = first + len(rows) - 1
                connection.exec_driver_sql(f"SELECT setval('trials_trial_id_seq', {max(last, 1)})")
        self.trials = max(self.trials, trials)

    def close(self) -> None:
        """Closes its connections."""
        self._storage.remove_session()
        self._storage.engine.dispose()
