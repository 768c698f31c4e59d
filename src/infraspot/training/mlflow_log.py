"""Runs in MLflow, an optional extra that is imported only when a recipe asks for it."""

import json
from typing import Any

from infraspot.core.errors import UsageError
from infraspot.core.extras import require
from infraspot.core.files import write_json
from infraspot.training.run import Row, Run

MLFLOW = "mlflow.json"
LONGEST = 500  # characters of an option that MLflow takes


class MlflowLog:
    """Writes the recipe and each epoch's numbers to MLflow; a resumed run goes on in the same place.

    Where to is MLflow's own matter: ``MLFLOW_TRACKING_URI``, else the folder ``mlruns``. The experiment is
    that of ``train.mlflow``.

    Raises
    ------
    UsageError
        If mlflow is not installed, or cannot be reached.
    """

    def __init__(self, run: Run) -> None:
        require("mlflow", "train.mlflow")
        import mlflow

        try:
            self._client: Any = mlflow.MlflowClient()
            self._id = self._begun(run)
        except UsageError:
            raise
        except Exception as error:  # servers, stores and clients of every kind
            raise UsageError(f"train.mlflow cannot write to MLflow: {error}") from error

    def step(self, run: Run, loss: float) -> None:
        """Steps are too many to keep."""

    def epoch(self, run: Run, row: Row) -> None:
        """Send the numbers of an epoch."""
        for name, value in row.items():
            if name != "epoch":
                self._client.log_metric(self._id, name, value, step=int(row["epoch"]))
        if run.complete:
            self._client.set_terminated(self._id)

    def _begun(self, run: Run) -> str:
        """The id of the run: the one that its folder names, else a new one with the recipe."""
        place = run.folder / MLFLOW
        if run.at.begun and place.is_file():
            return str(json.loads(place.read_text(encoding="utf-8"))["run"])
        name = run.recipe.train.mlflow
        known = self._client.get_experiment_by_name(name)
        experiment = self._client.create_experiment(name) if known is None else known.experiment_id
        begun = str(self._client.create_run(experiment, run_name=run.folder.name).info.run_id)
        for part, options in run.recipe.model_dump(mode="json", exclude_none=True).items():
            for option, value in options.items() if isinstance(options, dict) else [("", options)]:
                self._client.log_param(begun, f"{part}.{option}".rstrip("."), str(value)[:LONGEST])
        write_json(place, {"run": begun})
        return begun
