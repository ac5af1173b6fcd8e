from __future__ import annotations

import re

from app.llm.end_user import opaque_name


def test_a_tenant_has_one_name_that_does_not_show_its_own() -> None:
    names = {tenant: opaque_name(tenant) for tenant in ("acme", "acme-2", "default", "日本")}
    assert len(set(names.values())) == len(names)
    for tenant, name in names.items():
        assert re.fullmatch(r"[0-9a-f]{64}", name)
        assert tenant not in name


def test_the_name_never_changes() -> None:
    """A vendor keeps a history under it, which another name would leave behind."""
    assert opaque_name("acme") == "7b6461a1661a55d093f97174121c014aa5bdeed94498d45b48f1baadeaf0ebe9"
