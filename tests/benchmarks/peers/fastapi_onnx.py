"""The pipeline as ONNX behind FastAPI, tuned by hand: asynchronous, msgspec both ways, one thread, no checks or log."""

import os

import msgspec
import numpy as np
import onnxruntime
from fastapi import FastAPI, Request, Response


class Question(msgspec.Struct):
    entity_id: str
    features: dict[str, float | str]


app = FastAPI(openapi_url=None)
options = onnxruntime.SessionOptions()
options.intra_op_num_threads = 1
options.inter_op_num_threads = 1
session = onnxruntime.InferenceSession(os.environ["BENCH_ONNX"], options, providers=["CPUExecutionProvider"])
kinds = {"tensor(string)": object, "tensor(float)": np.float32, "tensor(double)": np.float64}
types = {each.name: kinds[each.type] for each in session.get_inputs()}
decode = msgspec.json.Decoder(Question).decode
encode = msgspec.json.Encoder().encode


@app.post("/predict")
async def predict(request: Request) -> Response:
    question = decode(await request.body())
    row = {name: np.array([[question.features[name]]], dtype=kind) for name, kind in types.items()}
    score = float(session.run(["probabilities"], row)[0][0, 1])
    return Response(encode({"entity_id": question.entity_id, "score": score}), media_type="application/json")
