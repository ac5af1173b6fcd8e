"""A stand-in for AWS: moto behind a gate that records the requests and can refuse them."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import boto3
import httpx
from moto.server import ThreadedMotoServer

from tests.support.servers import HOST

REGION = "eu-central-1"
_PASSED_ON = ("content-type", "x-amz-target", "authorization", "x-amz-date", "x-amz-security-token")


@dataclass
class Aws:
    """The stand-in. `refusals` are the codes for the next calls, `asked` every method and path so far."""

    url: str
    behind: str
    refusals: list[str] = field(default_factory=list)
    asked: list[tuple[str, str]] = field(default_factory=list)
    without_token: list[str] = field(default_factory=list)

    def settings(self) -> dict[str, str]:
        """Returns the environment of a process on an instance that has a role."""
        return {
            "AWS_ENDPOINT_URL_SSM": self.url,
            "AWS_EC2_METADATA_SERVICE_ENDPOINT": self.url,
            "AWS_REGION": REGION,
            "AWS_SHARED_CREDENTIALS_FILE": "/nonexistent",
            "AWS_CONFIG_FILE": "/nonexistent",
        }

    def put(self, name: str, value: str, *, secure: bool = False) -> None:
        client = boto3.client(
            "ssm",
            region_name=REGION,
            endpoint_url=self.behind,
            aws_access_key_id="test",
            aws_secret_access_key="test",
        )
        client.put_parameter(Name=name, Value=value, Type="SecureString" if secure else "String", Overwrite=True)


@contextmanager
def running_aws() -> Iterator[Aws]:
    server = ThreadedMotoServer(ip_address=HOST, port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    httpx.post(
        f"http://{host}:{port}/moto-api/reset", trust_env=False
    ).raise_for_status()  # moto keeps one state per process
    gate = ThreadingHTTPServer((HOST, 0), BaseHTTPRequestHandler)
    aws = Aws(url=f"http://{HOST}:{gate.server_port}", behind=f"http://{host}:{port}")
    gate.RequestHandlerClass = _gate_to(aws)
    thread = threading.Thread(target=gate.serve_forever)
    thread.start()
    try:
        yield aws
    finally:
        gate.shutdown()
        gate.server_close()
        thread.join()
        server.stop()


def _gate_to(aws: Aws) -> type[BaseHTTPRequestHandler]:
    class Gate(BaseHTTPRequestHandler):
        def log_message(self, format: str, *arguments: Any) -> None:  # noqa: A002  the base class's name for it
            pass

        def _pass_on(self) -> None:
            aws.asked.append((self.command, self.path))
            body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
            if self.path.startswith("/latest/meta-data/") and "X-aws-ec2-metadata-token" not in self.headers:
                aws.without_token.append(self.path)
            if self.path == "/" and aws.refusals:
                code = aws.refusals.pop(0)
                self._answer(400, json.dumps({"__type": code, "message": "refused"}).encode())
                return
            headers = {name: value for name, value in self.headers.items() if name.lower() in _PASSED_ON}
            with httpx.Client(trust_env=False) as client:
                answer = client.request(self.command, aws.behind + self.path, content=body, headers=headers)
            self._answer(answer.status_code, answer.content)

        def _answer(self, status: int, body: bytes) -> None:
            self.send_response(status)
            self.send_header("Content-Type", "application/x-amz-json-1.1")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        do_GET = do_POST = do_PUT = _pass_on  # noqa: N815  the base class looks for these names

    return Gate
