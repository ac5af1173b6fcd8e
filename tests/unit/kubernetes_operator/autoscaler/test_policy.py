"""The policy: settings that it refuses, and annotations that override it."""

from __future__ import annotations

import pytest
from pydantic import ValidationError

from agent_operator.autoscaler.policy import ANNOTATION, Policy, WrongPolicy, pairs


def test_a_policy_whose_bounds_cross_is_refused() -> None:
    with pytest.raises(ValidationError, match="max_replicas must not be less"):
        Policy(min_replicas=3, max_replicas=2)


def test_annotations_of_the_deployment_override_settings() -> None:
    policy = Policy.of(pairs("max_replicas=20 down_pods=2")).overridden(
        {f"{ANNOTATION}max-replicas": "40", "other": "1"}
    )

    assert (policy.max_replicas, policy.down_pods) == (40, 2)


def test_a_wrong_setting_is_named() -> None:
    with pytest.raises(WrongPolicy, match="no_such_setting"):
        Policy().overridden({f"{ANNOTATION}no-such-setting": "1"})
