"""The way to the Kubernetes API: one HTTP session for kopf and for our own calls, so that connections are shared.

Inside a cluster the service account's token is read anew as it is rotated; outside, KUBECONFIG or ~/.kube/config says
who we are.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import logging
import time
from pathlib import Path

import aiohttp
import kopf
from aiohttp import ClientHandlerType, ClientRequest, ClientResponse

from app.errors import ConfigurationError

CONNECTIONS = 20
CONNECT_SECONDS = 5.0
REQUEST_SECONDS = 30.0
SERVICE_ACCOUNT = Path("/var/run/secrets/kubernetes.io/serviceaccount")
TOKEN_SECONDS = 60.0
CLUSTER_NAME_CHARACTERS = 16


class ClusterAccess:
    """Holds the session; `renew` replaces one that kopf has closed. `close` it in the end."""

    def __init__(self, settings: kopf.OperatorSettings, *, watches: int = 1) -> None:
        """`watches` is how many connections are in use all the time.

        Raises ConfigurationError where nothing says how to reach a cluster.
        """
        self._connections = CONNECTIONS + watches
        self._info = _connection_info(settings)
        self.server = self._info.server.rstrip("/")
        self._session: aiohttp.ClientSession | None = None

    @property
    def session(self) -> aiohttp.ClientSession:
        """Usable from within the event loop."""
        if self._session is None or self._session.closed:
            self._session = self._open()
        return self._session

    def login(self) -> kopf.AiohttpSession:
        """What kopf uses; asked again when the server has refused it."""
        return kopf.AiohttpSession(server=self.server, aiohttp_session=self.session)

    @property
    def cluster_name(self) -> str:
        """The same for everybody who trusts the same certificate authority, else for who uses the same URL."""
        authority = _authority(self._info) or self.server.encode()
        return hashlib.sha256(authority.strip()).hexdigest()[:CLUSTER_NAME_CHARACTERS]

    async def close(self) -> None:
        if self._session is not None:
            await self._session.close()

    def _open(self) -> aiohttp.ClientSession:
        in_cluster = SERVICE_ACCOUNT.joinpath("token").exists()
        return aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(limit=self._connections, ssl=self._info.as_ssl_context()),
            headers={} if in_cluster else self._info.as_http_headers(),
            timeout=aiohttp.ClientTimeout(total=REQUEST_SECONDS, connect=CONNECT_SECONDS),
            proxy=self._info.proxy_url,
            middlewares=(_FreshToken(SERVICE_ACCOUNT / "token"),) if in_cluster else (),
        )


class _FreshToken:
    """Puts the service account's token on each request; the kubelet writes a new one long before the old one ends."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._token = ""
        self._read_at = float("-inf")

    async def __call__(self, request: ClientRequest, handler: ClientHandlerType) -> ClientResponse:
        if time.monotonic() - self._read_at > TOKEN_SECONDS:
            self._token = self._path.read_text().strip()
            self._read_at = time.monotonic()
        request.headers["Authorization"] = f"Bearer {self._token}"
        return await handler(request)


def _connection_info(settings: kopf.OperatorSettings) -> kopf.ConnectionInfo:
    logger = logging.getLogger(__name__)
    info: kopf.ConnectionInfo | None
    for login in (kopf.login_with_service_account, kopf.login_with_kubeconfig):
        try:
            info = login(logger=logger, settings=settings)
        except (kopf.LoginError, OSError, KeyError, TypeError, ValueError) as error:
            raise ConfigurationError(f"KUBECONFIG: cannot be used ({type(error).__name__}: {error})") from error
        if info is not None:
            return info
    message = "KUBECONFIG: this is no pod with a service account, and there is no kubeconfig file; name one"
    raise ConfigurationError(message)


def _authority(info: kopf.ConnectionInfo) -> bytes | None:
    """The certificate authority's PEM; a kubeconfig may have it in base64."""
    if info.ca_path:
        return Path(str(info.ca_path)).read_bytes()
    if not info.ca_data:
        return None
    data = info.ca_data if isinstance(info.ca_data, bytes) else str(info.ca_data).encode()
    try:
        return base64.b64decode(data, validate=True)
    except binascii.Error:
        return data
