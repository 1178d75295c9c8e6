"""Addresses that a server listens on."""

from __future__ import annotations

import socket
import threading

import pytest

from slugline.serving.server.addresses import find_address


def test_wait_until_open_ends_once_a_server_listens() -> None:
    address = find_address("127.0.0.1", 0)
    waiting = threading.Thread(target=address.wait_until_open)
    waiting.start()
    with socket.create_server(address):
        waiting.join(60)
    assert not waiting.is_alive()


def test_address_that_connects_to_itself_is_not_open(monkeypatch: pytest.MonkeyPatch) -> None:
    address = find_address("127.0.0.1", 0)

    def connect(target: tuple[str, int], timeout: float) -> socket.socket:
        connection = socket.socket()
        connection.settimeout(timeout)
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        connection.bind(target)
        connection.connect(target)
        return connection

    monkeypatch.setattr(socket, "create_connection", connect)
    assert not address._is_open()
