"""AWS Systems Manager Parameter Store: every parameter below a path. Values are never written to disk."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

import boto3
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError, NoCredentialsError, NoRegionError

from app.cli.failure import CommandFailed
from app.cli.parameters.values import Parameter

if TYPE_CHECKING:
    from mypy_boto3_ssm.client import SSMClient

# Throttling is usual: a whole account shares a rate of forty calls a second.
_CONFIG = Config(retries={"mode": "standard", "total_max_attempts": 5}, connect_timeout=5, read_timeout=20)


def read_parameters(path: str, *, region: str | None, decrypt: bool = True) -> list[Parameter]:
    """Reads all parameters below the path and its folders. Without `decrypt` the values of secrets are ciphertext.

    Raises CommandFailed if AWS cannot be reached or refuses.
    """
    with _failures(path):
        client: SSMClient = boto3.client("ssm", region_name=region, config=_CONFIG)
        pages = client.get_paginator("get_parameters_by_path").paginate(
            Path=path, Recursive=True, WithDecryption=decrypt
        )
        return [
            Parameter(
                path=found["Name"],
                value=found["Value"],
                secure=found["Type"] == "SecureString",
                version=found["Version"],
            )
            for page in pages
            for found in page["Parameters"]
        ]


@contextmanager
def _failures(path: str) -> Iterator[None]:
    try:
        yield
    except NoRegionError as error:
        raise CommandFailed("No AWS region is named: give --region, or set AWS_REGION.") from error
    except NoCredentialsError as error:
        raise CommandFailed("There are no AWS credentials: give the instance a role, or set AWS_PROFILE.") from error
    except ClientError as error:
        code = error.response.get("Error", {}).get("Code", "unknown")
        raise CommandFailed(f"AWS refused to give the parameters under {path} ({code}): {_advice(code)}") from error
    except BotoCoreError as error:
        raise CommandFailed(
            f"AWS could not be asked for the parameters under {path}: {error}. Check the network and the region."
        ) from error


def _advice(code: str) -> str:
    match code:
        case "AccessDeniedException":
            return "the role needs ssm:GetParametersByPath on the path, and kms:Decrypt for its SecureStrings."
        case "ThrottlingException":
            return "too many calls, also after five tries; try again in a minute."
        case "ValidationException":
            return "the path has to begin with / and hold letters, digits, and . _ - / only."
        case _:
            return "see the code in the documentation of Systems Manager."
