"""The service key of the installation: its faults in the log. Its rotation is in `tests/integration/api`."""

from __future__ import annotations

from structlog.testing import capture_logs

from app.services.keys import KeyService
from app.services.service_key import ServiceKey
from app.settings import ApiSettings
from tests.support.doubles import ManualClock
from tests.unit.services.test_keys import OLD, KeysInMemory


async def test_a_revoked_key_is_logged_once_and_not_each_minute() -> None:
    clock = ManualClock()
    keys = KeyService(KeysInMemory(clock), clock)
    service_key = ServiceKey(keys, ApiSettings.model_validate({"bootstrap_service_key": OLD}))
    await service_key.install()
    (stored,) = await keys.list_all()
    await keys.revoke(stored.id)

    with capture_logs() as lines:
        for _ in range(3):
            await service_key.install()

    assert [(line["event"], line["key_id"]) for line in lines if line["log_level"] == "error"] == [
        ("service_key_revoked", stored.id)
    ]
