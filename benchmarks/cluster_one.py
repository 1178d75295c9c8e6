"""What `cluster.py` has done in processes of their own; see `cluster_speed` and `cluster_faults`.

python cluster_one.py watch FILE
python cluster_one.py learn SET ADDRESS CHECKPOINT MODEL
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

import cluster_faults
import cluster_speed

if __name__ == "__main__":
    what, first, *others = sys.argv[1:]
    if what == "watch":
        print(json.dumps(cluster_speed.watch_here(Path(first))))
    else:
        address, checkpoint, model = others
        cluster_faults.learn_there(first, address, checkpoint, Path(model))
