"""Settings of the database."""

from __future__ import annotations

from pydantic import Field, SecretStr, field_validator

from app.settings.group import SettingsGroup
from app.settings.urls import check_mongo_uri


class StoreSettings(SettingsGroup):
    """The MongoDB server and its database."""

    uri: SecretStr = Field(
        default=SecretStr("mongodb://127.0.0.1:27017/"),
        validation_alias="MONGO_URI",
        description="MongoDB connection string.",
    )
    database: str = Field(
        default="agent_orchestrator",
        min_length=1,
        max_length=63,
        validation_alias="MONGO_DB_NAME",
        description="Name of the database.",
    )
    timeout_seconds: float = Field(
        default=5.0,
        ge=0.5,
        le=60,
        validation_alias="MONGO_TIMEOUT_SECONDS",
        description="Longest wait for one database operation, in seconds.",
    )
    few_indexes: bool = Field(
        default=False,
        validation_alias="MONGO_FEW_INDEXES",
        description="Leaves out the indexes for the lists of many tenants and for the changes feed. `up` sets it for "
        "the embedded database, where each index costs a tenth of a write.",
    )

    _check_address = field_validator("uri")(check_mongo_uri)
