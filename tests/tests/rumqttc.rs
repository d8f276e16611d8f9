//! The MQTT door, spoken to by `rumqttc`, which nobody here wrote: by MQTT 3.1.1 and by 5.0.
//!
//! `MQTT_ADDRESS=127.0.0.1:1883` tells the story to a server that runs already, ours or another.

use std::{
    net::SocketAddr,
    time::{Duration, Instant},
};

use yizhan_tests::{PATIENCE, Server};

/// How long what must not come is waited for.
const GRACE: Duration = Duration::from_millis(500);
/// Messages of the long run.
const MANY: usize = 1_000;
/// How many of them are under way at once; servers take at least so many.
const AT_ONCE: usize = 10;
const LARGE: usize = 1 << 20;

/// A message, as far as both versions have it.
#[derive(Debug, PartialEq, Eq)]
struct Message {
    topic: String,
    payload: Vec<u8>,
    qos: u8,
    retain: bool,
}

/// What happened on a connection.
enum Happened {
    ComeIn { session_present: bool },
    Said(Message),
    Acknowledged,
    Subscribed,
    Other,
}

/// What a client asks for when it comes in.
struct Guest<'a> {
    id: &'a str,
    clean: bool,
    will: Option<&'a str>,
    credentials: Option<(&'a str, &'a str)>,
}

impl<'a> Guest<'a> {
    fn named(id: &'a str) -> Self {
        Self { id, clean: true, will: None, credentials: None }
    }
}

/// A client of either version: it works only while it is waited for.
trait Peer: Sized {
    fn open(address: SocketAddr, guest: &Guest<'_>) -> Self;
    /// The next thing that happens, if it does so in time; what the library says of a broken connection.
    fn next(&mut self, patience: Duration) -> Result<Option<Happened>, String>;
    fn ask_subscribe(&mut self, filter: &str, qos: u8);
    fn ask_publish(&mut self, topic: &str, qos: u8, retain: bool, payload: &[u8]);
    fn ask_disconnect(&mut self);
}

mod four {
    use std::{net::SocketAddr, time::Duration};

    use rumqttc::{
        Client, Connection, Event, LastWill, MqttOptions, Outgoing, Packet, QoS, RecvTimeoutError, qos,
    };

    use super::{Guest, Happened, LARGE, Message, Peer};

    pub(super) struct Four {
        client: Client,
        connection: Connection,
    }

    fn level(level: u8) -> QoS {
        qos(level).expect("0, 1 or 2")
    }

    impl Peer for Four {
        fn open(address: SocketAddr, guest: &Guest<'_>) -> Self {
            let mut options = MqttOptions::new(guest.id, address.ip().to_string(), address.port());
            options.set_clean_session(guest.clean).set_max_packet_size(2 * LARGE, 2 * LARGE).set_inflight(10);
            if let Some(topic) = guest.will {
                options.set_last_will(LastWill::new(topic, "gone", QoS::AtLeastOnce, false));
            }
            if let Some((user, password)) = guest.credentials {
                options.set_credentials(user, password);
            }
            let (client, connection) = Client::new(options, 100);
            Self { client, connection }
        }

        fn next(&mut self, patience: Duration) -> Result<Option<Happened>, String> {
            let event = match self.connection.recv_timeout(patience) {
                Err(RecvTimeoutError::Timeout) => return Ok(None),
                Err(RecvTimeoutError::Disconnected) => return Err("it has ended".to_owned()),
                Ok(event) => event.map_err(|error| format!("{error:?}"))?,
            };
            Ok(Some(match event {
                Event::Incoming(Packet::ConnAck(answer)) => {
                    Happened::ComeIn { session_present: answer.session_present }
                }
                Event::Incoming(Packet::Publish(said)) => Happened::Said(Message {
                    topic: said.topic,
                    payload: said.payload.to_vec(),
                    qos: said.qos as u8,
                    retain: said.retain,
                }),
                Event::Incoming(Packet::PubAck(_) | Packet::PubComp(_))
                | Event::Outgoing(Outgoing::Publish(0)) => Happened::Acknowledged,
                Event::Incoming(Packet::SubAck(_)) => Happened::Subscribed,
                _ => Happened::Other,
            }))
        }

        fn ask_subscribe(&mut self, filter: &str, qos: u8) {
            self.client.subscribe(filter, level(qos)).expect("the queue has room");
        }

        fn ask_publish(&mut self, topic: &str, qos: u8, retain: bool, payload: &[u8]) {
            self.client.publish(topic, level(qos), retain, payload).expect("the queue has room");
        }

        fn ask_disconnect(&mut self) {
            self.client.disconnect().expect("the queue has room");
        }
    }
}

mod five {
    use std::{net::SocketAddr, time::Duration};

    use rumqttc::{
        Outgoing,
        v5::{
            Client, Connection, Event, MqttOptions, RecvTimeoutError,
            mqttbytes::{
                QoS, qos,
                v5::{ConnectProperties, LastWill, Packet},
            },
        },
    };

    use super::{Guest, Happened, LARGE, Message, Peer};

    pub(super) struct Five {
        client: Client,
        connection: Connection,
    }

    fn level(level: u8) -> QoS {
        qos(level).expect("0, 1 or 2")
    }

    impl Peer for Five {
        fn open(address: SocketAddr, guest: &Guest<'_>) -> Self {
            let mut options = MqttOptions::new(guest.id, address.ip().to_string(), address.port());
            let mut asked = ConnectProperties::new();
            asked.max_packet_size = Some(u32::try_from(2 * LARGE).expect("it is 2 MiB"));
            asked.session_expiry_interval = (!guest.clean).then_some(300);
            options
                .set_clean_start(guest.clean)
                .set_connect_properties(asked)
                .set_outgoing_inflight_upper_limit(10);
            if let Some(topic) = guest.will {
                options.set_last_will(LastWill::new(topic, "gone", QoS::AtLeastOnce, false, None));
            }
            if let Some((user, password)) = guest.credentials {
                options.set_credentials(user, password);
            }
            let (client, connection) = Client::new(options, 100);
            Self { client, connection }
        }

        fn next(&mut self, patience: Duration) -> Result<Option<Happened>, String> {
            let event = match self.connection.recv_timeout(patience) {
                Err(RecvTimeoutError::Timeout) => return Ok(None),
                Err(RecvTimeoutError::Disconnected) => return Err("it has ended".to_owned()),
                Ok(event) => event.map_err(|error| format!("{error:?}"))?,
            };
            Ok(Some(match event {
                Event::Incoming(Packet::ConnAck(answer)) => {
                    Happened::ComeIn { session_present: answer.session_present }
                }
                Event::Incoming(Packet::Publish(said)) => Happened::Said(Message {
                    topic: String::from_utf8(said.topic.to_vec()).expect("topics are UTF-8"),
                    payload: said.payload.to_vec(),
                    qos: said.qos as u8,
                    retain: said.retain,
                }),
                Event::Incoming(Packet::PubAck(_) | Packet::PubComp(_))
                | Event::Outgoing(Outgoing::Publish(0)) => Happened::Acknowledged,
                Event::Incoming(Packet::SubAck(_)) => Happened::Subscribed,
                _ => Happened::Other,
            }))
        }

        fn ask_subscribe(&mut self, filter: &str, qos: u8) {
            self.client.subscribe(filter, level(qos)).expect("the queue has room");
        }

        fn ask_publish(&mut self, topic: &str, qos: u8, retain: bool, payload: &[u8]) {
            self.client.publish(topic, level(qos), retain, payload.to_vec()).expect("the queue has room");
        }

        fn ask_disconnect(&mut self) {
            self.client.disconnect().expect("the queue has room");
        }
    }
}

/// A peer that is in, and what came for it while it waited for something else.
struct Client<P> {
    peer: P,
    session_present: bool,
    messages: Vec<Message>,
}

impl<P: Peer> Client<P> {
    /// Comes in.
    fn come(address: SocketAddr, guest: &Guest<'_>) -> Result<Self, String> {
        let mut client = Self { peer: P::open(address, guest), session_present: false, messages: Vec::new() };
        client.until("CONNACK", |happened, client| {
            if let Happened::ComeIn { session_present } = *happened {
                client.session_present = session_present;
            }
            matches!(happened, Happened::ComeIn { .. })
        })?;
        Ok(client)
    }

    fn named(address: SocketAddr, id: &str) -> Self {
        Self::come(address, &Guest::named(id)).expect("it is let in")
    }

    fn until(&mut self, what: &str, fits: impl Fn(&Happened, &mut Self) -> bool) -> Result<(), String> {
        let end = Instant::now() + PATIENCE;
        while Instant::now() < end {
            let Some(happened) = self.peer.next(PATIENCE)? else { break };
            let done = fits(&happened, self);
            if let Happened::Said(message) = happened {
                self.messages.push(message);
            }
            if done {
                return Ok(());
            }
        }
        Err(format!("{what} did not come"))
    }

    fn subscribe(&mut self, filter: &str, qos: u8) {
        self.peer.ask_subscribe(filter, qos);
        self.until("SUBACK", |happened, _| matches!(happened, Happened::Subscribed))
            .expect("it is let listen");
    }

    fn publish(&mut self, topic: &str, qos: u8, retain: bool, payload: &[u8]) {
        self.peer.ask_publish(topic, qos, retain, payload);
        self.acknowledged();
    }

    fn acknowledged(&mut self) {
        self.until("an acknowledgement", |happened, _| matches!(happened, Happened::Acknowledged))
            .expect("it is let speak");
    }

    fn message(&mut self) -> Message {
        if self.messages.is_empty() {
            self.until("a message", |happened, _| matches!(happened, Happened::Said(_)))
                .expect("the connection lasts");
        }
        self.messages.remove(0)
    }

    fn text(&mut self) -> String {
        String::from_utf8(self.message().payload).expect("the story says text")
    }

    fn hears_nothing(&mut self) {
        while let Some(happened) = self.peer.next(GRACE).expect("the connection lasts") {
            if let Happened::Said(message) = happened {
                self.messages.push(message);
            }
        }
        assert!(self.messages.is_empty(), "{:?}", self.messages);
    }

    fn leave(mut self) {
        self.peer.ask_disconnect();
        // The library calls the end that was asked for an error.
        while self.peer.next(PATIENCE).is_ok() {}
    }
}

/// The story that all clients tell; `root` is a place of its own.
fn story<P: Peer>(address: SocketAddr, root: &str) {
    let (mut listener, mut speaker) = (
        Client::<P>::named(address, &format!("{root}-l")),
        Client::<P>::named(address, &format!("{root}-s")),
    );
    speak_and_listen(&mut listener, &mut speaker, root);
    retain::<P>(&mut listener, &mut speaker, address, root);
    bequeath::<P>(&mut listener, address, root);
    sleep::<P>(&mut speaker, address, root);
    much(&mut listener, &mut speaker, root);
    if std::env::var_os("MQTT_ADDRESS").is_none() {
        let stranger = Guest { credentials: Some(("nobody", "a wrong password")), ..Guest::named(root) };
        let refused = Client::<P>::come(address, &stranger).err().expect("a wrong password is refused");
        assert!(refused.contains("ConnectionRefused(BadUserNamePassword)"), "{refused}");
    }
}

fn speak_and_listen<P: Peer>(listener: &mut Client<P>, speaker: &mut Client<P>, root: &str) {
    listener.subscribe(&format!("{root}/+/state"), 2);
    listener.subscribe(&format!("{root}/all/#"), 1);
    for qos in 0..=2 {
        let topic = format!("{root}/lamp/state");
        speaker.publish(&topic, qos, false, "你好 👋".as_bytes());
        assert_eq!(listener.message(), Message { topic, payload: "你好 👋".into(), qos, retain: false });
        speaker.publish(&format!("{root}/all/of/it"), qos, false, b"");
        assert_eq!(listener.message().qos, qos.min(1));
    }
    speaker.publish(&format!("{root}/lamp/other"), 1, false, b"x");
    listener.hears_nothing();
}

fn retain<P: Peer>(listener: &mut Client<P>, speaker: &mut Client<P>, address: SocketAddr, root: &str) {
    let topic = format!("{root}/kept");
    speaker.publish(&topic, 1, true, b"kept");
    listener.subscribe(&topic, 1);
    let message = listener.message();
    assert_eq!((message.payload.as_slice(), message.retain), (&b"kept"[..], true));
    speaker.publish(&topic, 1, true, b"");
    assert!(!listener.message().retain);
    let mut late = Client::<P>::named(address, &format!("{root}-late"));
    late.subscribe(&topic, 1);
    late.hears_nothing();
}

fn bequeath<P: Peer>(listener: &mut Client<P>, address: SocketAddr, root: &str) {
    let topic = format!("{root}/will");
    let id = format!("{root}-w");
    listener.subscribe(&topic, 1);
    let dying = Guest { will: Some(&topic), ..Guest::named(&id) };
    drop(Client::<P>::come(address, &dying).expect("it is let in"));
    assert_eq!(listener.text(), "gone");
    Client::<P>::come(address, &dying).expect("it is let in").leave();
    listener.hears_nothing();
}

fn sleep<P: Peer>(speaker: &mut Client<P>, address: SocketAddr, root: &str) {
    let (topic, id) = (format!("{root}/session"), format!("{root}-p"));
    let sleeper = Guest { clean: false, ..Guest::named(&id) };
    let mut client = Client::<P>::come(address, &sleeper).expect("it is let in");
    assert!(!client.session_present);
    client.subscribe(&topic, 1);
    client.leave();
    for i in 0..20 {
        speaker.publish(&topic, 1 + i % 2, false, i.to_string().as_bytes());
    }
    let mut client = Client::<P>::come(address, &sleeper).expect("it is let in");
    assert!(client.session_present);
    let texts: Vec<_> = (0..20).map(|_| client.text()).collect();
    assert_eq!(texts, (0..20).map(|i| i.to_string()).collect::<Vec<_>>());
    client.hears_nothing();
    client.leave();
    assert!(!Client::<P>::named(address, &id).session_present);
}

fn much<P: Peer>(listener: &mut Client<P>, speaker: &mut Client<P>, root: &str) {
    let (large, many) = (format!("{root}/large"), format!("{root}/many"));
    listener.subscribe(&large, 2);
    let payload: Vec<u8> = (0..LARGE).map(|i| i.to_le_bytes()[0]).collect();
    for qos in 0..=2 {
        speaker.publish(&large, qos, false, &payload);
        assert!(listener.message().payload == payload, "it came changed");
    }
    listener.subscribe(&many, 1);
    for first in (0..MANY).step_by(AT_ONCE) {
        for i in first..first + AT_ONCE {
            speaker.peer.ask_publish(&many, 1, false, i.to_string().as_bytes());
        }
        for i in first..first + AT_ONCE {
            speaker.acknowledged();
            assert_eq!(listener.text(), i.to_string());
        }
    }
}

/// Tells the story to a server that runs already, or to one of its own.
fn tell(story: impl Fn(SocketAddr, &str)) {
    let root = format!("r{}x{:?}", std::process::id(), std::thread::current().id()).replace(['(', ')'], "");
    if let Ok(address) = std::env::var("MQTT_ADDRESS") {
        return story(address.parse().expect("MQTT_ADDRESS is an address"), &root);
    }
    let folder = tempfile::tempdir().expect("a temporary folder");
    let server = Server::dev(&folder.path().join("data"));
    story(server.address("mqtt"), &root);
}

#[test]
fn rumqttc_tells_the_story_by_mqtt_3_1_1() {
    tell(story::<four::Four>);
}

#[test]
fn rumqttc_tells_the_story_by_mqtt_5() {
    tell(story::<five::Five>);
}
