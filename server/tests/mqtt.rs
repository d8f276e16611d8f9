//! The MQTT door in the program: what the config says about it, figures below `$SYS`, and following a client.

#![cfg(feature = "mqtt")]

use std::{
    fs::File,
    io::{BufRead, BufReader, Read, Write},
    net::TcpStream,
    path::PathBuf,
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use serde_json::Value;

/// How long a test waits for something that must happen.
const PATIENCE: Duration = Duration::from_secs(60);

/// A running server in a folder of its own; killed when dropped.
struct Server {
    child: Child,
    folder: tempfile::TempDir,
}

impl Server {
    fn start(config: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let log = File::create(folder.path().join("log")).unwrap();
        let file = folder.path().join("yizhan.toml");
        std::fs::write(&file, format!("{config}\n[http]\nlisten = '127.0.0.1:0'\n[socket]\ntcp = []\n"))
            .unwrap();
        let child = Command::new(env!("CARGO_BIN_EXE_yizhan"))
            .args(["serve", "--set", "mqtt.tcp=127.0.0.1:0", "--set", "rtmp.tcp=127.0.0.1:0", "--config"])
            .arg(file)
            .arg("--data")
            .arg(folder.path().join("data"))
            .env_clear()
            .stdin(Stdio::null())
            .stdout(log.try_clone().unwrap())
            .stderr(log)
            .spawn()
            .unwrap();
        let mut server = Self { child, folder };
        let until = Instant::now() + PATIENCE;
        while server.run_file().is_none() {
            assert!(server.child.try_wait().unwrap().is_none(), "{}", server.log());
            assert!(Instant::now() < until, "the server does not start: {}", server.log());
            std::thread::sleep(Duration::from_millis(10));
        }
        server
    }

    fn data(&self) -> PathBuf {
        self.folder.path().join("data")
    }

    fn run_file(&self) -> Option<Value> {
        serde_json::from_slice(&std::fs::read(self.data().join("run.json")).ok()?).ok()
    }

    fn log(&self) -> String {
        std::fs::read_to_string(self.folder.path().join("log")).unwrap_or_default()
    }

    fn token(&self) -> String {
        std::fs::read_to_string(self.data().join("local.token")).unwrap().trim().to_owned()
    }

    /// A client that is in: the owner, by the token of the data folder.
    fn client(&self, id: &str) -> Client {
        let run = self.run_file().unwrap();
        let mut client = Client(TcpStream::connect(run["doors"]["mqtt"][0].as_str().unwrap()).unwrap());
        client.0.set_read_timeout(Some(PATIENCE)).unwrap();
        // Protocol name and level, a user name that leaves it to the token, password and clean session, keep alive.
        let mut body = b"\x00\x04MQTT\x04\xc2\x00\x3c".to_vec();
        for text in [id, "token", &self.token()] {
            put(&mut body, text);
        }
        client.send(0x10, &body);
        assert_eq!(client.hears(), (0x20, vec![0, 0]), "{}", self.log());
        client
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // Both fail only where it has ended already.
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

/// A client of MQTT 3.1.1.
struct Client(TcpStream);

fn put(into: &mut Vec<u8>, text: &str) {
    into.extend(u16::try_from(text.len()).unwrap().to_be_bytes());
    into.extend(text.as_bytes());
}

impl Client {
    fn send(&mut self, first: u8, body: &[u8]) {
        let mut packet = vec![first];
        let mut len = body.len();
        while len >= 128 {
            packet.push(u8::try_from(len % 128).unwrap() | 128);
            len /= 128;
        }
        packet.push(u8::try_from(len).unwrap());
        packet.extend(body);
        self.0.write_all(&packet).unwrap();
    }

    /// The next packet's first byte and body.
    fn hears(&mut self) -> (u8, Vec<u8>) {
        let mut byte = [0];
        self.0.read_exact(&mut byte).unwrap();
        let first = byte[0];
        let (mut len, mut shift) = (0, 0);
        loop {
            self.0.read_exact(&mut byte).unwrap();
            len |= usize::from(byte[0] & 127) << shift;
            shift += 7;
            if byte[0] < 128 {
                break;
            }
        }
        let mut body = vec![0; len];
        self.0.read_exact(&mut body).unwrap();
        (first, body)
    }

    fn subscribe(&mut self, filter: &str) {
        let mut body = vec![0, 9];
        put(&mut body, filter);
        body.push(1);
        self.send(0x82, &body);
        assert_eq!(self.hears(), (0x90, vec![0, 9, 1]), "{filter}");
    }

    /// Of QoS 0.
    fn publish(&mut self, topic: &str, payload: &str) {
        let mut body = Vec::new();
        put(&mut body, topic);
        body.extend(payload.as_bytes());
        self.send(0x30, &body);
    }

    /// The next message: its topic, its payload, and whether it is a retained one.
    fn message(&mut self) -> (String, String, bool) {
        let (first, body) = self.hears();
        assert_eq!(first & 0xf0, 0x30, "a PUBLISH");
        let len = usize::from(u16::from_be_bytes([body[0], body[1]]));
        let topic = String::from_utf8(body[2..2 + len].to_vec()).unwrap();
        let mut rest = &body[2 + len..];
        if first & 0x06 != 0 {
            self.send(0x40, &rest[..2]);
            rest = &rest[2..];
        }
        (topic, String::from_utf8(rest.to_vec()).unwrap(), first & 1 == 1)
    }
}

#[test]
fn figures_stand_below_sys_under_mosquittos_names() {
    let server = Server::start("[mqtt]\nsys_interval = 1");
    let mut client = server.client("reader");
    client.subscribe("$SYS/broker/#");
    let mut seen = std::collections::BTreeMap::new();
    let until = Instant::now() + PATIENCE;
    while !(seen.get("clients/connected").is_some_and(|n| n == "1")
        && seen.contains_key("load/sockets/15min"))
    {
        assert!(Instant::now() < until, "{seen:?}");
        let (topic, value, _) = client.message();
        seen.insert(topic.strip_prefix("$SYS/broker/").unwrap().to_owned(), value);
    }
    assert!(seen["version"].starts_with("yizhan version "), "{seen:?}");
    assert!(seen["uptime"].ends_with(" seconds"), "{seen:?}");
    assert!(seen["messages/received"].parse::<u64>().is_ok(), "{seen:?}");
    // Whoever comes now gets the newest of each, as retained messages.
    let mut late = server.client("late");
    late.subscribe("$SYS/broker/version");
    let (_, version, retained) = late.message();
    assert_eq!((version.as_str(), retained), (seen["version"].as_str(), true));
}

#[test]
fn a_client_is_followed_for_a_while() {
    let server = Server::start("");
    let mut tool = Command::new(env!("CARGO_BIN_EXE_yizhan"))
        .args(["ask", "trace", "pump/7", "--for", "3s", "--json"])
        .env_clear()
        .env("YIZHAN_DATA", server.data())
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let until = Instant::now() + PATIENCE;
    while !server.log().contains("a client is followed") {
        assert!(Instant::now() < until, "{}", server.log());
        std::thread::sleep(Duration::from_millis(10));
    }
    let mut client = server.client("pump/7");
    client.subscribe("answers");
    server.client("other").publish("of others", "x");
    client.publish("answers", "a secret");
    assert_eq!(client.message().1, "a secret");
    let lines: Vec<String> =
        BufReader::new(tool.stdout.take().unwrap()).lines().map(Result::unwrap).collect();
    assert!(tool.wait().unwrap().success());
    let all = lines.join("\n");
    assert!(!all.contains("secret") && !all.contains(&server.token()) && !all.contains("of others"), "{all}");
    let told: Vec<(String, String, Option<String>)> = lines
        .iter()
        .map(|line| {
            let line: Value = serde_json::from_str(line).unwrap();
            let text = |key: &str| line[key].as_str().map(str::to_owned);
            (text("direction").unwrap(), text("packet").unwrap(), text("topic"))
        })
        .collect();
    for (direction, packet, topic) in [
        ("in", "SUBSCRIBE", Some("answers")),
        ("in", "PUBLISH", Some("answers")),
        ("out", "PUBLISH", Some("answers")),
    ] {
        let expected = (direction.to_owned(), packet.to_owned(), topic.map(str::to_owned));
        assert!(told.contains(&expected), "{expected:?} is not in\n{all}");
    }
}

#[test]
fn topics_are_rewritten_delayed_and_subscribed_to_as_the_config_says() {
    let server = Server::start(
        "[[mqtt.rewrite]]\nsource = 'old/#'\nregex = '^old/(.*)$'\ndestination = 'new/%c/$1'\naction = 'publish'\n\
         [[mqtt.subscribe]]\nfilter = 'to/%c'\nqos = 1\n",
    );
    let (mut sender, mut listener) = (server.client("sender"), server.client("listener"));
    listener.subscribe("new/#");
    sender.publish("old/a/b", "1");
    assert_eq!(listener.message(), ("new/sender/a/b".into(), "1".into(), false));
    sender.publish("to/listener", "2");
    assert_eq!(listener.message(), ("to/listener".into(), "2".into(), false));
    let begun = Instant::now();
    sender.publish("$delayed/1/new/later", "3");
    assert_eq!(listener.message(), ("new/later".into(), "3".into(), false));
    assert!(begun.elapsed() >= Duration::from_millis(900), "{:?}", begun.elapsed());
}

#[test]
fn what_makes_no_sense_is_said_before_the_start() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("yizhan.toml");
    for (config, expected) in [
        ("[mqtt]\nqos_max = 3", "mqtt: qos_max is 0, 1 or 2"),
        ("[mqtt]\ncertificate_user = 'cn'", "mqtt.certificate_user: no client is asked for one"),
        ("[mqtt]\nreceive_maximum = 3", "did you mean 'receive_max'?"),
        ("[[mqtt.rewrite]]\nsource = '#'\nregex = '('\ndestination = 'a'", "mqtt: rewrite[0].regex: "),
        ("[[mqtt.subscribe]]\nfilter = 'a/#/b'", "mqtt: subscribe[0].filter: "),
    ] {
        std::fs::write(&file, config).unwrap();
        let mut command = Command::new(env!("CARGO_BIN_EXE_yizhan"));
        let output = command.args(["config", "check", "--config"]).arg(&file).env_clear().output().unwrap();
        let error = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(!output.status.success() && error.contains(expected), "{config}: {error}");
    }
}

#[test]
fn a_taken_port_is_named() {
    let server = Server::start("");
    let taken = server.run_file().unwrap()["doors"]["mqtt"][0].as_str().unwrap().to_owned();
    let folder = tempfile::tempdir().unwrap();
    let output = Command::new(env!("CARGO_BIN_EXE_yizhan"))
        .args(["serve", "--dev", "--set", "http.listen=127.0.0.1:0", "--set", "socket.tcp=127.0.0.1:0"])
        .args(["--set", &format!("mqtt.tcp={taken}"), "--set", "rtmp.tcp=127.0.0.1:0", "--data"])
        .arg(folder.path().join("data"))
        .env_clear()
        .output()
        .unwrap();
    let error = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(1));
    assert!(
        error.contains(&format!("cannot listen on {taken}")) && error.contains("another program"),
        "{error}"
    );
}
