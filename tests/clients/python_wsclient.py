#!/usr/bin/env python3
"""The story with `websocket-client` (PyPI), which has no compression: python_wsclient.py http://127.0.0.1:8080"""

import struct

import websocket

from story import run, websocket_story


class Wire:
    def __init__(self, url):
        self.socket = websocket.create_connection(url, subprotocols=["yizhan.v1.json"], timeout=15)
        self.deflate = "sec-websocket-extensions" in self.socket.handshake_response.headers
        assert self.socket.getsubprotocol() == "yizhan.v1.json", f"subprotocol {self.socket.getsubprotocol()}"

    def send(self, text):
        self.socket.send(text)

    def receive(self, seconds):
        self.socket.settimeout(seconds)
        return self.socket.recv()

    def drop(self):
        """Ends TCP without a close frame."""
        self.socket.shutdown()

    def closed(self):
        while True:
            opcode, data = self.socket.recv_data(control_frame=True)
            if opcode == websocket.ABNF.OPCODE_CLOSE:
                return struct.unpack("!H", data[:2])[0] if len(data) >= 2 else None

    def close(self):
        self.socket.close()


run(f"python websocket-client {websocket.__version__}", websocket_story(Wire, deflates=False))
