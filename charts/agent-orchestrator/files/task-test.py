"""The program of `helm test`: submits a task and waits for its end. Exits with 1 and the reason if the task fails."""

import json
import os
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any

LAST = ("completed", "failed", "cancelled")
POLL_SECONDS = 1
REQUEST_SECONDS = 10


def call(path: str, body: dict[str, str] | None = None) -> Any:
    api = os.environ["TEST_API"]
    headers = {
        "X-API-Key": Path(os.environ["TEST_KEY_FILE"]).read_text(encoding="utf-8").strip(),
        "X-Tenant": os.environ["TEST_TENANT"],
        "Content-Type": "application/json",
    }
    request = urllib.request.Request(api + path, json.dumps(body).encode() if body else None, headers)
    try:
        with urllib.request.urlopen(request, timeout=REQUEST_SECONDS) as answer:
            return json.load(answer)
    except urllib.error.HTTPError as refused:
        sys.exit(f"{path} answered {refused.code}: {refused.read().decode(errors='replace')}")
    except OSError as failure:
        sys.exit(f"{api} cannot be reached: {failure}")


def main() -> None:
    give_up_at = time.monotonic() + float(os.environ["TEST_TIMEOUT_SECONDS"])
    task_id = call("/v1/agent/execute", {"task": os.environ["TEST_TASK"]})["task_id"]
    print(f"task {task_id} is accepted")
    while (task := call(f"/v1/tasks/{task_id}"))["status"] not in LAST:
        if time.monotonic() > give_up_at:
            sys.exit(f"task {task_id} is still {task['status']}: is a worker ready, and does the model answer?")
        time.sleep(POLL_SECONDS)
    if task["status"] != "completed":
        sys.exit(f"task {task_id} ended as {task['status']}: {task['error']}")
    cost = task["usage"]["cost_usd"]
    price = "its cost is unknown" if cost is None else f"for {cost} USD"
    print(f"task {task_id} is completed by {task['selected_agent']}, {price}")


main()
