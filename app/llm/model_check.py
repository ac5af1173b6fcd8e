"""The check of the models in use against the lists of their providers.

It finds a wrong address, a wrong key and a model that does not exist before a task fails because of them: a worker logs
them soon after its start, and `agent-orchestrator models` shows them.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Protocol

from app.llm.chains import Hop
from app.llm.faults import ProviderFault
from app.llm.langchain_vendors import is_langchain
from app.llm.provider_table import Provider


class ModelLists(Protocol):
    """The seam to the lists: `ProviderAdapters`, or a double in tests."""

    async def models(self, provider: Provider) -> Mapping[str, datetime | None]:
        """Reads the provider's models by id, each with the date on which it ends. Raises ProviderFault."""


@dataclass(frozen=True)
class ProviderList:
    """The models that one provider lists, by id, each with the date on which it ends.

    They are empty if the list could not be read because of `fault`, and if the server names no models.
    """

    models: Mapping[str, datetime | None] = field(default_factory=dict)
    fault: ProviderFault | None = None

    def lists(self, model: str) -> bool | None:
        """Checks whether the model exists; None: unknown, because a server without a list answers anything."""
        # A name without a date stands for the newest of those with one.
        return any(name.startswith(model) for name in self.models) if self.models else None

    def ends(self, model: str) -> datetime | None:
        """Returns the date on which the model ends; None if it is not published."""
        return self.models.get(model)


async def read_lists(hops: Iterable[Hop], source: ModelLists) -> Mapping[str, ProviderList]:
    """Reads the lists of the hops' providers, all at once. LangChain offers none."""
    providers = sorted({Provider(hop.provider) for hop in hops if not is_langchain(hop.provider)})
    lists = await asyncio.gather(*(_read_list(provider, source) for provider in providers))
    return {str(provider): its_list for provider, its_list in zip(providers, lists, strict=True)}


async def _read_list(provider: Provider, source: ModelLists) -> ProviderList:
    try:
        return ProviderList(await source.models(provider))
    except ProviderFault as fault:
        return ProviderList(fault=fault)
