"""The pipeline as BentoML's documentation serves one: a class, the model loaded in its constructor, `@bentoml.api`."""

import os

import bentoml
import joblib
import pandas as pd


@bentoml.service
class Churn:
    def __init__(self) -> None:
        self.pipeline = joblib.load(os.environ["BENCH_PIPELINE"])

    @bentoml.api
    def predict(self, entity_id: str, features: dict[str, float | str]) -> dict[str, str | float]:
        score = float(self.pipeline.predict_proba(pd.DataFrame([features]))[0, 1])
        return {"entity_id": entity_id, "score": score}
