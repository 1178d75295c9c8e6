"""What `cluster.py` has done in processes of their own; see `cluster_speed` and `cluster_faults`.

python cluster_one.py watch FILE
python cluster_one.py learn ADDRESS SET CHECKPOINT MODEL WAY
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

import cluster_faults
import cluster_speed

if __name__ == "__main__":
    what, *arguments = sys.argv[1:]
    if what == "watch":
        print(json.dumps(cluster_speed.watch_here(Path(arguments[0]))))
    else:
        cluster_faults.learn_there(*arguments)
