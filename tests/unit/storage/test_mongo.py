"""The driver's errors, mapped to ours."""

from __future__ import annotations

import pytest
from pymongo.errors import AutoReconnect, OperationFailure, PyMongoError

from app.errors import AgentOrchestratorError, StoreError, StoreFault, StoreUnavailable
from app.storage.mongo import store_errors


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
