//! The load on a broker of a hundred lines that can be told to lose and to double.

use std::{
    collections::HashMap,
    io::{Read, Write},
    net::{SocketAddr, TcpListener, TcpStream},
    sync::{Arc, Mutex},
    thread,
    time::Duration,
};

use super::{Load, Login, Mqtt, Traffic, Version, measure, wire::variable};
use crate::load::{Common, Report, Target};

/// What the broker does wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fault {
    None,
    /// The message with this number reaches nobody.
    Loses(u64),
    /// The message with this number comes twice.
    Doubles(u64),
    /// Every client is refused.
    Refuses,
}

type Client = Arc<Mutex<TcpStream>>;

/// Who follows which topic.
#[derive(Default)]
struct Subscribers(Mutex<HashMap<Vec<u8>, Vec<Client>>>);

fn broker(fault: Fault) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let subscribers = Arc::new(Subscribers::default());
    thread::spawn(move || {
        for stream in listener.incoming() {
            let subscribers = subscribers.clone();
            thread::spawn(move || drop(serve(stream.unwrap(), &subscribers, fault)));
        }
    });
    address
}

/// Speaks 3.1.1 with one client until it goes.
fn serve(mut stream: TcpStream, subscribers: &Subscribers, fault: Fault) -> std::io::Result<()> {
    let own = Arc::new(Mutex::new(stream.try_clone()?));
    let (mut input, mut buffer) = (Vec::new(), vec![0; 65536]);
    loop {
        let n = stream.read(&mut buffer)?;
        if n == 0 {
            return Ok(());
        }
        input.extend_from_slice(&buffer[..n]);
        let mut at = 0;
        while let Some((length, head)) = input.get(at + 1..).and_then(|rest| variable(rest).unwrap()) {
            let end = at + 1 + head + length as usize;
            let Some(packet) = input.get(at..end) else { break };
            answer(packet, 1 + head, &own, subscribers, fault)?;
            at = end;
        }
        input.drain(..at);
    }
}

fn answer(
    packet: &[u8],
    head: usize,
    own: &Client,
    subscribers: &Subscribers,
    fault: Fault,
) -> std::io::Result<()> {
    let body = &packet[head..];
    let text =
        |at: usize| body[at + 2..at + 2 + usize::from(body[at]) * 256 + usize::from(body[at + 1])].to_vec();
    let say = |bytes: &[u8]| own.lock().unwrap().write_all(bytes);
    match packet[0] >> 4 {
        1 => say(&[0x20, 2, 0, if fault == Fault::Refuses { 5 } else { 0 }]),
        8 => {
            let filter = text(2);
            subscribers.0.lock().unwrap().entry(filter).or_default().push(own.clone());
            say(&[0x90, 3, body[0], body[1], body[body.len() - 1]])
        }
        3 => {
            let topic = text(0);
            let id_at = topic.len() + 2;
            let qos = packet[0] >> 1 & 3;
            if qos > 0 {
                say(&[0x40, 2, body[id_at], body[id_at + 1]])?;
            }
            let stamp_at = id_at + if qos > 0 { 2 } else { 0 };
            let number = u64::from_be_bytes(body[stamp_at..stamp_at + 8].try_into().unwrap());
            let times = match fault {
                Fault::Loses(n) if n == number => 0,
                Fault::Doubles(n) if n == number => 2,
                _ => 1,
            };
            for subscriber in subscribers.0.lock().unwrap().get(&topic).into_iter().flatten() {
                for _ in 0..times {
                    subscriber.lock().unwrap().write_all(packet)?;
                }
            }
            Ok(())
        }
        // PUBACK.
        _ => Ok(()),
    }
}

fn run(fault: Fault, threads: usize, load: &Load) -> Result<Report, String> {
    let broker = broker(fault);
    let login = Login { version: Version::V311, user: None, password: None, keep_alive: 60 };
    let common = Common {
        target: Target { address: broker, path: String::new(), subprotocol: "" },
        token: None,
        pid: Some(std::process::id()),
        threads,
        warmup: Duration::from_millis(50),
        measure: Duration::from_millis(200),
    };
    measure(&common, "test", &Mqtt { broker, login: Arc::new(login) }, load)
}

fn traffic(qos: u8, topics: usize, subscribers: usize) -> Traffic {
    Traffic {
        publishers: topics.min(3),
        topics,
        subscribers,
        qos,
        payload_bytes: 128,
        window: 8,
        rate: None,
        topic: "t".into(),
    }
}

#[test]
fn everything_that_a_good_broker_delivers_is_counted() {
    for (qos, topics, subscribers, threads) in [(0, 1, 20, 1), (0, 1, 20, 3), (1, 5, 3, 2), (1, 4, 1, 1)] {
        let load = Load::Traffic(traffic(qos, topics, subscribers));
        let report = run(Fault::None, threads, &load).unwrap();
        assert!(report.delivered > 100 && report.published > 10, "{}", report.text());
        assert_eq!((report.lost, report.repeated, report.refused), (0, 0, 0), "{}", report.text());
        assert!(report.json()["latency_us"]["count"].as_u64() > Some(100), "{}", report.text());
    }
}

#[test]
fn a_lost_message_is_seen_by_each_of_its_subscribers() {
    let report = run(Fault::Loses(9), 1, &Load::Traffic(traffic(0, 1, 7))).unwrap();
    assert_eq!((report.lost, report.repeated), (7, 0), "{}", report.text());
}

#[test]
fn a_message_that_comes_twice_is_seen() {
    let report = run(Fault::Doubles(9), 2, &Load::Traffic(traffic(1, 2, 3))).unwrap();
    assert_eq!((report.lost, report.repeated), (0, 6), "{}", report.text());
}

#[test]
fn without_subscribers_acknowledgements_are_counted_and_timed() {
    let report = run(Fault::None, 1, &Load::Traffic(traffic(1, 10, 0))).unwrap();
    assert!(report.published > 100 && report.delivered == 0, "{}", report.text());
    assert!(report.json()["latency_us"]["count"].as_u64() > Some(100), "{}", report.text());
    assert!(run(Fault::None, 1, &Load::Traffic(traffic(0, 10, 0))).is_err());
}

#[test]
fn a_fixed_rate_is_kept() {
    let load = Load::Traffic(Traffic { rate: Some(100.0), ..traffic(0, 1, 3) });
    let report = run(Fault::None, 1, &load).unwrap();
    assert!((10..=30).contains(&report.published), "{}", report.text());
    assert_eq!(report.lost, 0);
}

#[test]
fn a_broker_that_refuses_ends_the_run_with_its_code() {
    let why = run(Fault::Refuses, 1, &Load::Traffic(traffic(0, 1, 1))).err().unwrap();
    assert!(why.contains("code 5"), "{why}");
}

#[test]
fn after_a_storm_all_are_back_and_the_bystanders_lost_nothing() {
    let report = run(Fault::None, 1, &Load::Storm { clients: 150, topic: "storm".into() }).unwrap();
    let json = report.json();
    assert_eq!((report.lost, report.repeated, report.connections), (0, 0, 150), "{}", report.text());
    assert!(json["calm_us"]["count"].as_u64() > Some(5), "{json}");
    assert!(json["all_back_seconds"].as_f64() > Some(0.0), "{json}");
}

#[test]
fn idle_clients_are_all_subscribed() {
    let report = run(Fault::None, 1, &Load::Idle { clients: 30, topic: "idle".into() }).unwrap();
    assert_eq!(report.connections, 30);
}
