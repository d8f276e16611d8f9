#!/usr/bin/env python3
"""The MQTT story with Eclipse Paho (PyPI `paho-mqtt`): mqtt_paho.py mqtt://127.0.0.1:1883 [mqtts://…] [ws://…] [wss://…]"""

import importlib.metadata
import queue
import threading

import paho.mqtt.client as paho
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties

from mqtt_story import WAIT, Failed, Message, Refused, expect, run

NAMES = {"response_topic": "ResponseTopic", "correlation_data": "CorrelationData", "content_type": "ContentType", "user": "UserProperty"}


class Wire:
    def __init__(self, address, version, client_id, keep=False, will=None):
        self.version = version
        self.messages, self.answers, self.done = queue.Queue(), queue.Queue(), {}
        self.lock = threading.Condition()
        clean = {} if version == 5 else {"clean_session": not keep}
        self.client = paho.Client(paho.CallbackAPIVersion.VERSION2, client_id=client_id, protocol=version, reconnect_on_failure=False,
                                  transport="websockets" if address.websocket else "tcp", **clean)
        if address.websocket:
            self.client.ws_set_options(path=address.path)
        if address.tls:
            self.client.tls_set(ca_certs=address.ca)
        if address.user is not None:
            self.client.username_pw_set(address.user, address.password)
        if will:
            self.client.will_set(*will)
        self.client.max_inflight_messages_set(100)
        self.client.on_connect = lambda _client, _data, flags, reason, _props: self.answers.put((flags, reason))
        self.client.on_subscribe = lambda _client, _data, mid, reasons, _props: self.finish(mid, reasons)
        self.client.on_unsubscribe = lambda _client, _data, mid, reasons, _props: self.finish(mid, reasons)
        self.client.on_message = lambda _client, _data, message: self.messages.put(message)
        more = {}
        if version == 5:
            connecting = Properties(PacketTypes.CONNECT)
            connecting.SessionExpiryInterval = 300 if keep else 0
            more = {"clean_start": not keep, "properties": connecting}
        self.client.connect(address.host, address.port, 60, **more)
        self.client.loop_start()
        try:
            flags, reason = self.answers.get(timeout=WAIT)
        except queue.Empty:
            raise Failed("no CONNACK") from None
        if reason.is_failure:
            # Paho tells the return codes of 3.1.1 by the reason codes of 5.0.
            self.client.loop_stop()
            raise Refused({0x86: 4, 0x87: 5}.get(reason.value, reason.value) if version == 4 else reason.value)
        self.session_present = flags.session_present

    def finish(self, mid, reasons):
        with self.lock:
            self.done[mid] = reasons
            self.lock.notify_all()

    def finished(self, result, mid):
        expect(result == paho.MQTT_ERR_SUCCESS, f"Paho says {result}")
        with self.lock:
            expect(self.lock.wait_for(lambda: mid in self.done, WAIT), "no answer")
            reasons = self.done[mid]
        expect(not any(reason.is_failure for reason in reasons), f"refused: {reasons}")

    def subscribe(self, filter_, qos):
        self.finished(*self.client.subscribe(filter_, qos))

    def unsubscribe(self, filter_):
        self.finished(*self.client.unsubscribe(filter_))

    def publish(self, topic, payload, qos, retain=False, props=None):
        saying = None
        if props:
            saying = Properties(PacketTypes.PUBLISH)
            for name, value in props.items():
                setattr(saying, NAMES[name], value)
        sent = self.client.publish(topic, payload, qos, retain, properties=saying)
        sent.wait_for_publish(WAIT)
        expect(sent.is_published(), "it was not acknowledged")

    def publish_many(self, topic, payloads, qos):
        sent = [self.client.publish(topic, payload, qos) for payload in payloads]
        for one in sent:
            one.wait_for_publish(WAIT)
            expect(one.is_published(), "it was not acknowledged")

    def receive(self, seconds):
        try:
            message = self.messages.get(timeout=seconds)
        except queue.Empty:
            return None
        props = {}
        if self.version == 5:
            props = {name: getattr(message.properties, theirs) for name, theirs in NAMES.items() if hasattr(message.properties, theirs)}
        return Message(message.topic, message.payload, message.qos, message.retain, props)

    def drop(self):
        """Ends TCP without a word."""
        self.client.loop_stop()
        sock = self.client.socket()
        if sock is not None:
            sock.close()

    def leave(self):
        self.client.disconnect()
        self.client.loop_stop()


run(f"paho-mqtt {importlib.metadata.version('paho-mqtt')}", Wire, ("mqtt", "mqtts", "ws", "wss"))
