"""The peer of `slugline serve`: FastAPI around a pipeline of scikit-learn, as people write it."""

import os

import joblib
from fastapi import FastAPI
from pydantic import BaseModel


class Texts(BaseModel):
    """A request."""

    texts: list[str]


app = FastAPI()
model = joblib.load(os.environ["PEER_MODEL"])


@app.post("/classify")
def classify(request: Texts) -> dict[str, list[str]]:
    """Classify."""
    return {"topics": model.predict(request.texts).tolist()}


@app.get("/ready")
def ready() -> str:
    """Say that the model is loaded."""
    return "ready"


@app.post("/empty")
async def empty(request: Texts) -> dict[str, list[str]]:
    """Answer without a model: the cost of the framework alone."""
    return {"topics": ["earn"] * len(request.texts)}
