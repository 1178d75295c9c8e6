"""Modules that fit, which predicting and serving must not load."""

from __future__ import annotations

__all__ = ["FITTING"]

FITTING = {
    *(
        f"slugline.learning.linear.{name}"
        for name in ("fit", "problem", "training", "steps", "dual", "batches")
    ),
    *(f"slugline.learning.net.{name}" for name in ("training", "optimizers")),
    *("slugline.learning.encoder.fit", "slugline.learning.tuning", "slugline.model.parts.fit"),
    *("slugline.experiment.experiment", "slugline.reports.render"),
}
