"""The lesson's own numbers."""

from __future__ import annotations

from typing import Any

__all__ = ["LESSON"]

# fmt: off
#: What the lesson itself prints or says, in the shape of `NotebookResult`; None if it gives no
#: number. Its text and its output differ in places; keys that end in `_said` are from the text.
LESSON: dict[str, Any] = {
    "data": {
        "n_train": 8982, "n_test": 2246, "n_topics": 46,
        "example_sha256": "53b44d6d84f3c2182b4c15fed44462eb17752155de10451cd1347cb051a6967f",
    },
    "baselines": {"shuffled": 0.1745325022261799, "shuffled_said": 0.19, "majority": None},
    "curves": {
        "loss": [
            3.0305, 1.4527, 1.0512, 0.8317, 0.6550, 0.5116, 0.4090, 0.3358, 0.2795, 0.2338,
            0.1910, 0.1743, 0.1565, 0.1352, 0.1211, 0.1182, 0.1027, 0.1062, 0.1123, 0.0961,
        ],
        "accuracy": [
            0.4064, 0.6967, 0.7714, 0.8203, 0.8657, 0.8913, 0.9177, 0.9338, 0.9387, 0.9482,
            0.9563, 0.9535, 0.9571, 0.9581, 0.9622, 0.9630, 0.9663, 0.9592, 0.9584, 0.9625,
        ],
        "val_loss": [
            1.6530, 1.2629, 1.1259, 1.0119, 0.9657, 0.9244, 0.9118, 0.9203, 0.9644, 0.9142,
            0.9436, 0.9636, 0.9535, 0.9739, 0.9743, 1.0021, 1.0329, 1.0965, 1.1046, 1.0821,
        ],
        "val_accuracy": [
            0.6490, 0.7240, 0.7390, 0.7960, 0.7890, 0.8060, 0.8100, 0.8120, 0.7930, 0.8080,
            0.8130, 0.8040, 0.8110, 0.8120, 0.8090, 0.8150, 0.8010, 0.8090, 0.7980, 0.8070,
        ],
        "best_epoch": 7, "best_epoch_said": 8, "val_loss_lowest": 0.9118,
        "val_accuracy_peak": 0.8150,
    },
    "retrained": {
        "epochs": 8, "test_loss": 1.005916953086853, "test_accuracy": 0.7813891172409058,
    },
    "predictions": {"shape": [46], "sum": 0.9999999, "argmax": 3},
    "bottleneck": {
        "val_accuracy": [
            0.5900, 0.6160, 0.6260, 0.6770, 0.6780, 0.6830, 0.6910, 0.7050, 0.7010, 0.7050,
            0.7060, 0.7020, 0.7040, 0.7010, 0.7020, 0.7080, 0.7030, 0.7060, 0.7010, 0.7020,
        ],
        "val_accuracy_peak": 0.7080, "test_accuracy": None, "test_accuracy_said": 0.71,
    },
}
