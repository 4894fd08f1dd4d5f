"""A scikit-learn pipeline behind bare FastAPI, as tutorials show it: a DataFrame of one row, no checks, no log."""

import os

import joblib
import pandas as pd
from fastapi import FastAPI
from pydantic import BaseModel

app = FastAPI()
pipeline = joblib.load(os.environ["BENCH_PIPELINE"])


class Question(BaseModel):
    entity_id: str
    features: dict[str, float | str]


@app.post("/predict")
def predict(question: Question) -> dict[str, str | float]:
    score = float(pipeline.predict_proba(pd.DataFrame([question.features]))[0, 1])
    return {"entity_id": question.entity_id, "score": score}
