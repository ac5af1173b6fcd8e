"""Access to the Kubernetes API: one HTTP session that kopf and the operator's own calls share.

Inside a cluster the operator authenticates with its service account's token, which the kubelet rotates; outside, with
the credentials in KUBECONFIG or ~/.kube/config.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import logging
from pathlib import Path

import aiohttp
import kopf
from aiohttp import ClientHandlerType, ClientRequest, ClientResponse

from agent_operator.kube.kubeconfig import check_credentials
from app.errors import ConfigurationError
from app.outbound.key_file import KeyFile
from app.ports import Clock

# Beside the watches, which hold their connections. Measured: with a session of this size kopf handled 158 objects a
# second in 104 MB, with the sessions that it opens itself 118 objects a second in 300 MB.
CONNECTIONS = 20
CONNECT_SECONDS = 5.0
REQUEST_SECONDS = 30.0
SERVICE_ACCOUNT = Path("/var/run/secrets/kubernetes.io/serviceaccount")
# The kubelet replaces a token when 80 % of its lifetime is over, so one that is a minute old is always valid.
TOKEN_SECONDS = 60.0
CLUSTER_NAME_CHARACTERS = 16


class ClusterAccess:
    """The session and the credentials for one cluster. Its owner calls `close` at the end."""

    def __init__(self, settings: kopf.OperatorSettings, clock: Clock, *, watches: int = 1) -> None:
        """Finds the cluster. `watches` is the number of connections that are always in use.

        Raises ConfigurationError if there are no credentials for a cluster.
        """
        self._clock = clock
        self._connections = CONNECTIONS + watches
        self._info = _connection_info(settings)
        self.server = self._info.server.rstrip("/")
        self._session: aiohttp.ClientSession | None = None

    @property
    def session(self) -> aiohttp.ClientSession:
        """The open session; needs a running event loop."""
        # kopf closes the session that it got from `login` when it replaces the credentials after a 401.
        if self._session is None or self._session.closed:
            self._session = self._open()
        return self._session

    def login(self) -> kopf.AiohttpSession:
        """Returns the session for kopf, which calls this again when the server has refused its credentials."""
        return kopf.AiohttpSession(server=self.server, aiohttp_session=self.session)

    @property
    def cluster_name(self) -> str:
        """A name made from the certificate authority, or from the URL if there is no authority.

        Operators inside and outside the cluster see different URLs, but the same authority.
        """
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
            middlewares=(_FreshToken(SERVICE_ACCOUNT / "token", self._clock),) if in_cluster else (),
        )


class _FreshToken:
    """A middleware that puts the service account's current token on each request."""

    def __init__(self, path: Path, clock: Clock) -> None:
        self._file = KeyFile(path)
        self._clock = clock
        self._token = ""
        self._read_at = float("-inf")

    async def __call__(self, request: ClientRequest, handler: ClientHandlerType) -> ClientResponse:
        if self._clock.monotonic() - self._read_at > TOKEN_SECONDS:
            self._token = self._file.read()
            self._read_at = self._clock.monotonic()
        request.headers["Authorization"] = f"Bearer {self._token}"
        return await handler(request)


def _connection_info(settings: kopf.OperatorSettings) -> kopf.ConnectionInfo:
    logger = logging.getLogger(__name__)
    info: kopf.ConnectionInfo | None
    for login in (kopf.login_with_service_account, kopf.login_with_kubeconfig):
        try:
            info = login(logger=logger, settings=settings)
            if info is not None and login is kopf.login_with_kubeconfig:
                check_credentials(info)
        except (kopf.LoginError, OSError, KeyError, TypeError, ValueError) as error:
            message = f"KUBECONFIG: the credentials cannot be used ({type(error).__name__}: {error})"
            raise ConfigurationError(message) from error
        if info is not None:
            return info
    message = "KUBECONFIG: not set, and this process is not in a pod with a service account; name a kubeconfig file"
    raise ConfigurationError(message)


def _authority(info: kopf.ConnectionInfo) -> bytes | None:
    """Returns the certificate authority's PEM. A kubeconfig may have it in base64, kopf may have decoded it already."""
    if info.ca_path:
        return Path(str(info.ca_path)).read_bytes()
    if not info.ca_data:
        return None
    data = info.ca_data if isinstance(info.ca_data, bytes) else str(info.ca_data).encode()
    try:
        return base64.b64decode(data, validate=True)
    except binascii.Error:
        return data
