"""A worker that is killed leaves nothing in Redis that nobody removes."""

from __future__ import annotations

from redis import Redis

from tests.support.stack import running_stack


def test_a_killed_worker_leaves_no_mailbox_behind() -> None:
    with running_stack() as stack, Redis.from_url(stack.servers["broker"].url) as redis:
        task = stack.submit("Write a Python function that reverses a list.")
        assert stack.wait(task["task_id"])["status"] == "completed"

        stack.kill("worker")

        assert [key for key in redis.keys("*") if b"pidbox" in key] == []
