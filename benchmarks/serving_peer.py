"""The peer of `slugline serve`: FastAPI around a pipeline of scikit-learn, as people write it."""

import os

import joblib
from fastapi import FastAPI
from pydantic import BaseModel


class Texts(BaseModel):
    """What is asked."""

    texts: list[str]


app = FastAPI()
model = joblib.load(os.environ["PEER_MODEL"])


@app.post("/classify")
def classify(asked: Texts) -> dict[str, list[str]]:
    """Answer."""
    return {"topics": model.predict(asked.texts).tolist()}


@app.get("/ready")
def ready() -> str:
    """Answer."""
    return "ready"


@app.post("/empty")
async def empty(asked: Texts) -> dict[str, list[str]]:
    """Answer without a model: what the frame alone costs."""
    return {"topics": ["earn"] * len(asked.texts)}
