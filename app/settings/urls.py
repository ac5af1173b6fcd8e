"""Checks of addresses when a setting is read: a wrong one stops the process with a sentence, not the first connection.

Messages never quote the value: it may hold a password, and one that is not escaped looks like a port or a host.
"""

from __future__ import annotations

import re
from urllib.parse import SplitResult, urlsplit

from pydantic import SecretStr

_ESCAPE = "a password with /, #, ?, @ or % must have these escaped (%2F, %23, %3F, %40, %25)"
_QUOTES = tuple("\"'`<>")
_USUAL_PORTS = {"http": 80, "https": 443}
_BROKEN_ESCAPE = re.compile(r"%(?![0-9A-Fa-f]{2})")


def check_redis_url(value: SecretStr | None) -> SecretStr | None:
    """Checks a `redis://`, `rediss://` or `unix://` URL. Raises ValueError."""
    if value is None:
        return None
    address = _split(value.get_secret_value(), "write an address such as redis://HOST:6379/0")
    if address.scheme == "unix":
        return value
    if address.scheme not in ("redis", "rediss"):
        raise ValueError("must start with redis://, rediss:// or unix://; Sentinel and Redis Cluster are not supported")
    _check_host(address.netloc, f"must name a host, and may name a port; {_ESCAPE}")
    _check_secrets(address)
    if not re.fullmatch(r"/?\d*", address.path):
        raise ValueError(f"must end with the number of a database, such as /0; {_ESCAPE}")
    return value


def check_result_backend(value: SecretStr | None) -> SecretStr | None:
    """Checks the address of a result backend if it is a Redis; the others are Celery's business. Raises ValueError."""
    is_redis = value is not None and value.get_secret_value().startswith(("redis:", "rediss:"))
    return check_redis_url(value) if is_redis else value


def check_mongo_uri(value: SecretStr) -> SecretStr:
    """Checks a `mongodb://` or `mongodb+srv://` URI. Raises ValueError."""
    address = _split(value.get_secret_value(), "write a connection string such as mongodb://HOST:27017/")
    if address.scheme not in ("mongodb", "mongodb+srv"):
        raise ValueError("must start with mongodb:// or mongodb+srv://")
    for host in address.netloc.rpartition("@")[2].split(","):
        if not host.lower().endswith(".sock"):  # the path of a socket, escaped
            _check_host(host, f"must name a host, and may name a port; {_ESCAPE}")
    _check_secrets(address)
    return value


def check_http_url(value: str | None) -> str | None:
    """Checks the address of an HTTP server, and removes spaces around it. Raises ValueError."""
    if value is None:
        return None
    url = value.strip()
    example = "write an address such as http://127.0.0.1:4000/v1, with its scheme"
    address = _split(url, example)
    if address.scheme not in ("http", "https"):
        raise ValueError(example)
    _check_host(address.netloc, example)
    if address.username is not None:
        raise ValueError("write the address without a name and a password; a key has a setting of its own")
    return url


def check_origins(values: tuple[str, ...]) -> tuple[str, ...]:
    """Checks the origins that browsers send, and writes them as they do. Raises ValueError."""
    return tuple(value if value == "*" else _origin(value) for value in values)


def _origin(value: str) -> str:
    """Writes an origin as browsers send it: in lower case, without the usual port. Raises ValueError."""
    advice = "must be origins such as https://app.example.com, separated by commas, or *"
    address = _split(value, advice)
    if address.scheme not in _USUAL_PORTS or address.path.strip("/") or address.query or address.fragment:
        raise ValueError(advice)
    _check_host(address.netloc, advice)
    if "*" in address.netloc or address.username is not None:
        raise ValueError(advice)
    host = address.netloc.lower().removesuffix(f":{_USUAL_PORTS[address.scheme]}")
    return f"{address.scheme}://{host}"


def _split(url: str, example: str) -> SplitResult:
    if any(sign.isspace() for sign in url) or url[:1] in _QUOTES or url[-1:] in _QUOTES:
        raise ValueError(f"{example}, without spaces and quotes")
    try:
        return urlsplit(url)
    except ValueError:
        raise ValueError(example) from None  # the error quotes the address


def _check_host(netloc: str, advice: str) -> None:
    try:
        server = urlsplit(f"//{netloc}")
        named = bool(server.hostname) and server.port != 0
    except ValueError:
        named = False
    if not named:
        raise ValueError(advice)


def _check_secrets(address: SplitResult) -> None:
    """Raises ValueError if a part of the password has become a part of something else."""
    credentials = address.netloc.rpartition("@")[0]
    if "@" in f"{credentials}{address.path}{address.query}{address.fragment}" or _BROKEN_ESCAPE.search(credentials):
        raise ValueError(_ESCAPE)
