#!/usr/bin/env python3
"""The story with `websockets` (PyPI): python_websockets.py http://127.0.0.1:8080"""

import contextlib
import importlib.metadata

from websockets.exceptions import ConnectionClosed
from websockets.sync.client import connect

from story import run, websocket_story


class Wire:
    def __init__(self, url):
        self.open = contextlib.ExitStack()
        self.socket = self.open.enter_context(connect(url, subprotocols=["yizhan.v1.json"], max_size=None))
        self.deflate = any(type(extension).__name__ == "PerMessageDeflate" for extension in self.socket.protocol.extensions)
        assert self.socket.subprotocol == "yizhan.v1.json", f"subprotocol {self.socket.subprotocol}"

    def send(self, text):
        self.socket.send(text)

    def receive(self, seconds):
        return self.socket.recv(timeout=seconds)

    def drop(self):
        """Ends TCP without a close frame."""
        self.socket.socket.shutdown(2)

    def closed(self):
        try:
            while True:
                self.socket.recv(timeout=15)
        except ConnectionClosed as end:
            return end.rcvd.code if end.rcvd else None

    def close(self):
        self.open.close()


run(f"python websockets {importlib.metadata.version('websockets')}", websocket_story(Wire, deflates=True))
