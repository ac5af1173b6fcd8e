"""The choice of the database server: the best one that starts, unless a folder has the data of another one."""

from __future__ import annotations

from pathlib import Path

import pytest

from app.cli.embedded.state import StateFolder
from app.cli.embedded.store_server import StoreKind, StoreServer, choose_store_server
from app.cli.failure import CommandFailed


@pytest.fixture
def programs(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """Makes a folder the only one in PATH."""
    folder = tmp_path / "bin"
    folder.mkdir()
    monkeypatch.setenv("PATH", str(folder))
    return folder


@pytest.fixture
def state(tmp_path: Path) -> StateFolder:
    folder = StateFolder(tmp_path / "state")
    folder.create()
    return folder


def install(programs: Path, name: str, output: str = "") -> None:
    """Installs a stand-in that prints the output."""
    program = programs / name
    program.write_text(f"#!/bin/sh\necho '{output}'\n")
    program.chmod(0o755)


def starts(_: StoreServer, __: StateFolder) -> None:
    """Stands for the trial of a server that starts."""


def does_not_start(server: StoreServer, _: StateFolder) -> str:
    return f"it does not start ({server.kind})"


def test_without_another_server_the_embedded_one_is_chosen(programs: Path, state: StateFolder) -> None:
    server, rejected = choose_store_server(state, find_fault=does_not_start)

    assert (server.kind, rejected) == (StoreKind.EMBEDDED, [])
    assert (server.folder, server.program.name) == ("mongo", "secantusd-py")


@pytest.mark.parametrize(
    ("version", "kind"),
    [
        ("db version v8.0.4", StoreKind.MONGOD),
        ("db version v7.0.12", StoreKind.MONGOD),
        ("db version v6.0.1", StoreKind.EMBEDDED),
        ("no version", StoreKind.EMBEDDED),
    ],
)
def test_a_mongod_is_chosen_if_it_is_new_enough(
    programs: Path, state: StateFolder, version: str, kind: StoreKind
) -> None:
    install(programs, "mongod", version)

    server, rejected = choose_store_server(state, find_fault=starts)

    assert server.kind is kind
    assert len(rejected) == (kind is StoreKind.EMBEDDED)
    spec = server.spec(5000, state.data(server.folder))
    assert (spec.name, spec.program, spec.url) == ("mongo", kind, "mongodb://127.0.0.1:5000/?directConnection=true")


def test_the_rust_server_comes_before_the_embedded_one(programs: Path, state: StateFolder) -> None:
    install(programs, "secantusd-rs")

    server, rejected = choose_store_server(state, find_fault=starts)

    assert (server.program, rejected) == (programs / "secantusd-rs", [])


def test_servers_that_do_not_start_are_named_and_the_embedded_one_is_chosen(programs: Path, state: StateFolder) -> None:
    install(programs, "mongod", "db version v8.0.4")
    install(programs, "secantusd-rs")

    server, rejected = choose_store_server(state, find_fault=does_not_start)

    assert server.kind is StoreKind.EMBEDDED
    assert rejected == [
        f"{programs / kind} is not used as the database: it does not start ({kind})."
        for kind in ("mongod", "secantusd-rs")
    ]


def test_the_data_in_a_folder_stay_with_their_server(programs: Path, state: StateFolder) -> None:
    (state.data("mongo") / "WiredTiger").touch()
    install(programs, "mongod", "db version v8.0.4")

    assert choose_store_server(state, find_fault=starts)[0].kind is StoreKind.EMBEDDED


def test_a_server_with_data_is_kept_without_a_trial(programs: Path, state: StateFolder) -> None:
    (state.data("mongod") / "WiredTiger").touch()
    install(programs, "mongod", "db version v8.0.4")

    server, rejected = choose_store_server(state, find_fault=does_not_start)

    assert (server.kind, rejected) == (StoreKind.MONGOD, [])


def test_data_of_a_server_that_is_gone_are_refused_with_its_name(programs: Path, state: StateFolder) -> None:
    (state.data("mongod") / "WiredTiger").touch()

    with pytest.raises(CommandFailed, match="those of mongod, which is not on the PATH"):
        choose_store_server(state, find_fault=starts)
