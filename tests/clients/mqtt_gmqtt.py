#!/usr/bin/env python3
"""The MQTT story with `gmqtt` (PyPI): mqtt_gmqtt.py mqtt://127.0.0.1:1883 [mqtts://…]"""

import asyncio
import concurrent.futures
import importlib.metadata
import logging
import queue
import ssl
import threading

import gmqtt
from gmqtt.mqtt.constants import MQTTv50, MQTTv311

from mqtt_story import WAIT, Failed, Message, Refused, expect, run

# It warns of what the story does on purpose.
logging.getLogger("gmqtt").setLevel(logging.CRITICAL)
LOOP = asyncio.new_event_loop()
threading.Thread(target=LOOP.run_forever, daemon=True).start()
NAMES = {"response_topic": "response_topic", "correlation_data": "correlation_data", "content_type": "content_type", "user": "user_property"}


def await_(coroutine):
    try:
        return asyncio.run_coroutine_threadsafe(coroutine, LOOP).result(WAIT)
    except concurrent.futures.TimeoutError:
        raise Failed("no answer") from None


async def call(function, *arguments, **more):
    return function(*arguments, **more)


class Wire:
    def __init__(self, address, version, client_id, keep=False, will=None):
        self.version = version
        self.messages, self.done = queue.Queue(), queue.Queue()
        await_(self.connect(address, client_id, keep, will))

    async def connect(self, address, client_id, keep, will):
        message = gmqtt.Message(will[0], will[1], qos=will[2]) if will else None
        more = {"session_expiry_interval": 300} if keep and self.version == 5 else {}
        self.client = gmqtt.Client(client_id, clean_session=not keep, will_message=message, **more)
        self.client.set_config({"reconnect_retries": 0})
        if address.user is not None:
            self.client.set_auth_credentials(address.user, address.password)
        connected = LOOP.create_future()
        self.client.on_connect = lambda _client, flags, code, _props: connected.done() or connected.set_result((flags, code))
        self.client.on_message = self.hear
        self.client.on_subscribe = lambda _client, _mid, codes, _props: self.done.put(codes)
        self.client.on_unsubscribe = lambda _client, _mid, _codes=None, *_: self.done.put([0])
        secure = ssl.create_default_context(cafile=address.ca) if address.tls else False
        try:
            await self.client.connect(address.host, address.port, ssl=secure, version=MQTTv50 if self.version == 5 else MQTTv311)
        except gmqtt.mqtt.handler.MQTTConnectError as error:
            raise Refused(error._code) from error
        flags, code = await asyncio.wait_for(connected, WAIT)
        if code:
            raise Refused(code)
        self.session_present = bool(flags & 1)

    async def hear(self, _client, topic, payload, qos, props):
        known = {name: props[theirs] for name, theirs in NAMES.items() if theirs in props}
        for name in ("response_topic", "correlation_data", "content_type"):
            known = {key: value[0] if key == name else value for key, value in known.items()}
        if "correlation_data" in known and isinstance(known["correlation_data"], str):
            known["correlation_data"] = known["correlation_data"].encode()
        self.messages.put(Message(topic, payload, qos, props.get("retain"), known))
        return 0

    def answered(self):
        try:
            codes = self.done.get(timeout=WAIT)
        except queue.Empty:
            raise Failed("no answer") from None
        expect(all(code < 0x80 for code in codes), f"refused: {codes}")

    def subscribe(self, filter_, qos):
        await_(call(self.client.subscribe, filter_, qos=qos))
        self.answered()

    def unsubscribe(self, filter_):
        await_(call(self.client.unsubscribe, filter_))
        self.answered()

    def publish(self, topic, payload, qos, retain=False, props=None):
        more = {NAMES[name]: value for name, value in (props or {}).items()}
        await_(call(self.client.publish, topic, payload, qos=qos, retain=retain, **more))
        await_(self.acknowledged())

    async def acknowledged(self):
        # It keeps what was not acknowledged.
        while not self.client._persistent_storage.is_empty:
            await asyncio.sleep(0.002)

    def publish_many(self, topic, payloads, qos):
        for first in range(0, len(payloads), 10):
            for payload in payloads[first:first + 10]:
                await_(call(self.client.publish, topic, payload, qos=qos))
            await_(self.acknowledged())

    def receive(self, seconds):
        try:
            return self.messages.get(timeout=seconds)
        except queue.Empty:
            return None

    def drop(self):
        """Ends TCP without a word."""
        await_(call(self.client._connection._transport.abort))

    def leave(self):
        try:
            await_(self.client.disconnect())
        except Exception:
            # It has no connection any more.
            pass


run(f"gmqtt {importlib.metadata.version('gmqtt')}", Wire, ("mqtt", "mqtts"))
