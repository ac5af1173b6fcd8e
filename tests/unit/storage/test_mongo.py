"""The driver's errors, mapped to ours."""

from __future__ import annotations

import bson
import pytest
from bson.datetime_ms import DatetimeMS
from pydantic import SecretStr
from pymongo import ReadPreference
from pymongo.errors import AutoReconnect, OperationFailure, PyMongoError

from app.errors import AgentOrchestratorError, StoreError, StoreFault, StoreUnavailable
from app.settings import StoreSettings
from app.storage.mongo import connect, database, store_errors


@pytest.mark.parametrize(
    ("raised", "meaning"),
    [
        (AutoReconnect("gone"), StoreUnavailable),
        (OperationFailure("stepping down", code=189), StoreUnavailable),
        (OperationFailure("could not reach its own storage", code=1), StoreFault),
        (OperationFailure("unknown", code=8), StoreFault),
        (OperationFailure("not authorised", code=13), StoreError),
        (PyMongoError("strange"), StoreError),
    ],
)
def test_errors_of_the_driver_have_one_meaning(raised: Exception, meaning: type[AgentOrchestratorError]) -> None:
    with pytest.raises(AgentOrchestratorError) as caught, store_errors("do it"):
        raise raised

    assert type(caught.value) is meaning
    assert "do it" in caught.value.message


def test_what_no_date_and_no_text_can_hold_keeps_no_document_from_being_read() -> None:
    settings = StoreSettings()
    beyond = bson.encode({"expires_at": DatetimeMS(2**52), "task": "tide"}).replace(b"tide", b"t\xffde")

    document = bson.decode(beyond, database(connect(settings), settings).codec_options)

    assert document["expires_at"].year == 9999
    assert document["task"] == "t\ufffdde"


def test_reads_and_writes_are_safe_whatever_the_uri_says() -> None:
    unsafe = "readPreference=secondaryPreferred&readConcernLevel=local&w=0&journal=false&wtimeoutMS=1&retryWrites=true"
    settings = StoreSettings(uri=SecretStr(f"mongodb://127.0.0.1/?{unsafe}"))

    client = connect(settings)
    tasks = database(client, settings)["tasks"]

    assert tasks.read_preference == ReadPreference.PRIMARY
    assert tasks.read_concern.level == "majority"
    assert tasks.write_concern.document == {"w": "majority", "j": True}
    assert client.delegate.options.retry_writes is False


def test_the_time_limit_is_the_settings_whatever_the_uri_says() -> None:
    limits = "serverSelectionTimeoutMS=1&connectTimeoutMS=1&socketTimeoutMS=1"
    settings = StoreSettings(uri=SecretStr(f"mongodb://127.0.0.1/?{limits}"), timeout_seconds=7)

    options = connect(settings).delegate.options

    assert options.server_selection_timeout == 7
    assert (options.pool_options.connect_timeout, options.pool_options.socket_timeout) == (7, 7)
