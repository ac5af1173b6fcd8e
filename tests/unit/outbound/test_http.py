from __future__ import annotations

import openai

from app.outbound.http import HttpTimeouts, build_model_client, build_web_client


async def test_both_clients_have_the_same_timeouts_and_follow_no_redirect() -> None:
    timeouts = HttpTimeouts(read_seconds=10)
    model, web = build_model_client(openai.DefaultAioHttpClient, timeouts), build_web_client(timeouts)
    assert model.timeout.as_dict() == {"connect": 3.0, "read": 10, "write": 10, "pool": 3.0}
    assert web.timeout.as_dict() == {"connect": 3.0, "read": 10, "write": 10, "pool": 10}
    for client in (model, web):
        assert not client.follow_redirects
    await model.aclose()
    await web.aclose()


def test_connecting_never_takes_longer_than_reading_may() -> None:
    assert HttpTimeouts(read_seconds=0.5).connect_seconds == 0.5
