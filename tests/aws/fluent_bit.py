"""A check of the server's Fluent Bit configuration with real lines of API and worker: `make check-logs FLUENT_BIT=…`.

Fluent Bit ships the lines to a stand-in for CloudWatch Logs. No test does this, because Fluent Bit cannot be installed
everywhere. The lines are in files as a container runtime writes them: each with its time, and long ones in pieces.
"""

from __future__ import annotations

import json
import logging
import os
import ssl
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import boto3
import trustme
import yaml
from moto.server import ThreadedMotoServer

from tests.support.proxy import running_proxy
from tests.support.servers import HOST
from tests.support.stack import running_stack
from tests.support.waiting import wait_for

CONFIGURATION = Path(__file__).parents[2] / "k8s" / "k3s" / "fluent-bit" / "fluent-bit.yaml"
REGION = "eu-central-1"
PIECE_BYTES = 16_384  # the size at which container runtimes split a line
WAIT_SECONDS = 60
BEGAN = datetime.now(UTC)
TRACEBACK = ("Traceback (most recent call last):", '  File "x.py", line 1, in <module>', "KeyError: 'ä'", "{not json")


def pod_log(folder: Path, component: str) -> Path:
    """Returns the path of the log of a pod's container on a node."""
    pod = f"ao-agent-orchestrator-{component}-6cfc978d9c-w7cw6"
    return folder / f"{pod}_agent-orchestrator_{component}-{'0f' * 32}.log"


def as_written_by_the_runtime(lines: Sequence[str]) -> str:
    """Formats the lines: each piece has its time, its stream, and F for the end of a line or P for a part of one."""
    at = BEGAN
    written = []
    for line in lines:
        at += timedelta(milliseconds=1)
        pieces = [line[start : start + PIECE_BYTES] for start in range(0, len(line), PIECE_BYTES)]
        for number, piece in enumerate(pieces, start=1):
            end = "F" if number == len(pieces) else "P"
            written.append(f"{at:%Y-%m-%dT%H:%M:%S.%f}789Z stdout {end} {piece}\n")
    return "".join(written)


def real_lines() -> dict[str, list[str]]:
    """Runs a task and returns the lines of API and worker, with a traceback and a line of 100 kB added."""
    with running_stack() as stack:
        stack.wait(stack.submit("Write a Python function that reverses a list.")["task_id"])
        logs = {name: stack.parts[name].log.read_text().splitlines() for name in ("api", "worker")}
    long = json.dumps({"message": "task_failed", "reason": "x" * 100_000})
    return {**{name: [*lines, *TRACEBACK, long] for name, lines in logs.items()}, "operator": [*TRACEBACK, long]}


def configuration(endpoint: Mapping[str, Any]) -> str:
    """Builds the server's configuration, except for the address of CloudWatch."""
    body = yaml.safe_load(CONFIGURATION.read_text())
    for output in body["pipeline"]["outputs"]:
        output |= endpoint
    return str(yaml.safe_dump(body, sort_keys=False))


def shipped(client: Any, component: str) -> list[str]:
    """Reads the lines that have arrived in the group, in order."""
    group = f"/agent-orchestrator/{component}"
    streams = client.describe_log_streams(logGroupName=group)["logStreams"]
    if not streams:
        return []
    (stream,) = streams
    assert stream["logStreamName"] == f"k3s.{component}.{pod_log(Path(), component).name.split('_')[0]}"
    events: list[str] = []
    token: dict[str, str] = {}
    while True:
        page = client.get_log_events(
            logGroupName=group, logStreamName=stream["logStreamName"], startFromHead=True, **token
        )
        events += [event["message"] for event in page["events"]]
        if page["nextForwardToken"] == token.get("nextToken"):
            return events
        token = {"nextToken": page["nextForwardToken"]}


def main() -> None:
    logging.getLogger("werkzeug").setLevel(logging.ERROR)
    binary = sys.argv[1]
    version = subprocess.run([binary, "--version"], capture_output=True, text=True, check=True).stdout.splitlines()[0]  # noqa: S603  the program that the caller named
    lines = real_lines()
    with ExitStack() as cleanup:
        folder = Path(cleanup.enter_context(tempfile.TemporaryDirectory(prefix="ao-logs-")))
        server = ThreadedMotoServer(ip_address=HOST, port=0, verbose=False)
        server.start()
        cleanup.callback(server.stop)
        _, port = server.get_host_and_port()
        tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        trustme.CA().issue_cert("localhost").configure_cert(tls)
        front = cleanup.enter_context(running_proxy(HOST, port, tls=tls))
        client = boto3.client(
            "logs",
            region_name=REGION,
            endpoint_url=f"http://{HOST}:{port}",
            aws_access_key_id="test",
            aws_secret_access_key="test",
        )
        for component in lines:
            client.create_log_group(logGroupName=f"/agent-orchestrator/{component}")
        (folder / "fluent-bit.yaml").write_text(
            configuration({"endpoint": "localhost", "port": front.port, "tls.verify": False})
        )
        (folder / "state").mkdir()
        environment = {
            "PATH": os.environ["PATH"],
            "AWS_REGION": REGION,
            "AWS_ACCESS_KEY_ID": "test",
            "AWS_SECRET_ACCESS_KEY": "test",
            "AGENT_LOG_SOURCE": str(folder),
            "AGENT_LOG_STATE": str(folder / "state"),
        }
        for written in (lines, {component: [*known, "one more"] for component, known in lines.items()}):
            for component, known in written.items():
                pod_log(folder, component).write_text(as_written_by_the_runtime(known))
            with shipping([binary, f"--config={folder / 'fluent-bit.yaml'}"], environment, folder / "output"):
                for component, known in written.items():
                    check_arrival(client, component, known)
                    print(f"{version}: {len(known)} lines of {component} have arrived unchanged")


def check_arrival(client: Any, component: str, written: Sequence[str]) -> None:
    wait_for(
        lambda: len(shipped(client, component)) >= len(written),
        seconds=WAIT_SECONDS,
        what=f"the lines of {component}",
    )
    assert shipped(client, component) == written, f"the lines of {component} that arrived differ from the written ones"


@contextmanager
def shipping(command: Sequence[str], environment: Mapping[str, str], output: Path) -> Iterator[None]:
    with output.open("wb") as log:
        process = subprocess.Popen(command, env=dict(environment), stdout=log, stderr=log)  # noqa: S603  the caller's own
    try:
        yield
    except AssertionError:
        print(output.read_text(), file=sys.stderr)
        raise
    finally:
        process.terminate()
        process.wait(timeout=60)


if __name__ == "__main__":
    main()
