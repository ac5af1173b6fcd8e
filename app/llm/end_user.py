"""The name under which a vendor knows a tenant, so that it can stop one tenant that breaks its rules, not the account.

OpenAI and Anthropic ask for it, and for one that names nobody. It is the same for all models and after each restart.
"""

from __future__ import annotations

import hashlib

# Apart from the digests that other products make of the same names.
_PURPOSE = "agent-orchestrator end user: "


def opaque_name(tenant: str) -> str:
    """Returns 64 hexadecimal digits, the most characters that OpenAI accepts."""
    return hashlib.sha256(f"{_PURPOSE}{tenant}".encode()).hexdigest()
