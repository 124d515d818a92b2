"""A script: ask the Ray at an address who it is. In a process of its own, since Ray's client
writes to the terminal, retries for minutes and cannot be stopped.

`probe.py HOST:PORT` prints `asking` when Ray is loaded, which takes long on a busy machine, and
then a JSON object: `ray` and `python`, the cluster's versions, and `here`, whether this host has a
node of it; or `error`, in Ray's words.
"""

from __future__ import annotations

import json
import sys
from typing import Any

TIMEOUT_S = 8
ASKING = "asking"


def ask(address: str) -> dict[str, Any]:
    """Return what the control service at `address` says."""
    from ray._private.services import find_node_ids
    from ray._raylet import GcsClient  # type: ignore[attr-defined]

    print(ASKING, flush=True)
    client = GcsClient(address=address)
    said = client.internal_kv_get(b"CLUSTER_METADATA", namespace=b"cluster", timeout=TIMEOUT_S)
    facts = json.loads(said or b"{}")
    nodes = client.get_all_node_info(timeout=TIMEOUT_S)
    alive = {node.hex() for node, info in nodes.items() if info.state == info.ALIVE}
    return {
        "ray": facts.get("ray_version"),
        "python": facts.get("python_version"),
        "here": bool(alive & set(find_node_ids())),
    }


if __name__ == "__main__":
    try:
        found = ask(sys.argv[1])
    except Exception as error:
        found = {"error": f"{type(error).__name__}: {error}"}
    print(json.dumps(found))
