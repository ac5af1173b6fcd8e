"""The vendors that are asked through LangChain: everything that `init_chat_model` can build is a hop of a chain.

A hop is `azure:deployment`, `bedrock:model`, `google:model`, `ollama:model`, or `langchain:provider/model` with any
provider that LangChain knows. Credentials and addresses come from the variables that each integration reads on its own;
docs/models.md lists them. Importing this module imports nothing of LangChain.
"""

from __future__ import annotations

import importlib.util
import os
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

from app.errors import ConfigurationError
from app.llm.server_dialect import Dialect, Feature

ANY_VENDOR = "langchain"
# An integration calls functions of every model that can, but each has its own way to ask for a schema.
LANGCHAIN_DIALECT = Dialect(frozenset({Feature.JSON_SCHEMA}))


@dataclass(frozen=True)
class LangChainVendor:
    """One vendor.

    `provider` is the name that `init_chat_model` has for it, `module` the package of the integration, `extra` the extra
    of this distribution that installs it (None: the worker has it). `variables` are those that a person sets to use it.
    `price_list` is the vendor's name in genai-prices; None if the name of a hop does not show what its model costs: the
    owner of an Azure deployment chooses its name, and a model on one's own machine has no price. `address_variables`
    lead to another address, where that list does not hold.
    """

    provider: str
    module: str
    extra: str | None
    variables: tuple[str, ...]
    price_list: str | None = None
    address_variables: tuple[str, ...] = ()

    @property
    def priced(self) -> bool:
        """Checks whether the list of prices holds in this environment."""
        return self.price_list is not None and not any(os.environ.get(name) for name in self.address_variables)


VENDORS: Mapping[str, LangChainVendor] = MappingProxyType(
    {
        "azure": LangChainVendor(
            provider="azure_openai",
            module="langchain_openai",
            extra=None,
            variables=("AZURE_OPENAI_API_KEY", "AZURE_OPENAI_ENDPOINT", "OPENAI_API_VERSION"),
        ),
        "bedrock": LangChainVendor(
            provider="bedrock_converse",
            module="langchain_aws",
            extra="bedrock",
            variables=("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_REGION"),
            price_list="aws",
            address_variables=("AWS_ENDPOINT_URL", "AWS_ENDPOINT_URL_BEDROCK_RUNTIME"),
        ),
        "google": LangChainVendor(
            provider="google_genai",
            module="langchain_google_genai",
            extra="google",
            variables=("GOOGLE_API_KEY",),
            price_list="google",
            address_variables=("GOOGLE_GEMINI_BASE_URL",),
        ),
        "ollama": LangChainVendor(
            provider="ollama", module="langchain_ollama", extra="ollama", variables=("OLLAMA_HOST",)
        ),
    }
)


def is_langchain(provider: str) -> bool:
    """Checks whether a hop's provider is asked through LangChain."""
    return provider == ANY_VENDOR or provider in VENDORS


def price_list(provider: str) -> str | None:
    """Returns the name in genai-prices of the vendor behind a LangChain hop; None if it shows no price."""
    vendor = VENDORS.get(provider)
    return vendor.price_list if vendor is not None and vendor.priced else None


def split_model(provider: str, model: str) -> tuple[str, str]:
    """Returns LangChain's names of provider and model. Raises ConfigurationError if `langchain:` names no provider."""
    if provider != ANY_VENDOR:
        return VENDORS[provider].provider, model
    named, slash, name = model.partition("/")
    if not (named and slash and name):
        raise ConfigurationError(
            f"The model {ANY_VENDOR}:{model} does not name its provider: write {ANY_VENDOR}:provider/model, with a "
            "provider of LangChain's init_chat_model."
        )
    return named, name


def require_installed(provider: str) -> None:
    """Raises ConfigurationError if the integration of a vendor is not installed.

    What `langchain:` needs is only known to LangChain, which says so when the model is first asked.
    """
    vendor = VENDORS.get(provider)
    if vendor is None or importlib.util.find_spec(vendor.module) is not None:
        return
    raise ConfigurationError(
        f"The models of {provider} need the package {vendor.module.replace('_', '-')}: install "
        f"agent-orchestrator[{vendor.extra}], or take the {provider} models out of the chains."
    )
