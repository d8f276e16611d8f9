//! Who is let in: limits, PROXY headers; and how everybody leaves.

use std::time::Duration;

use tokio::{io::AsyncWriteExt, net::TcpStream};
use yizhan_net::{Limits, Listen, Site, SiteError, SystemClock};
use yizhan_talk::Close;

use crate::support::{Desk, anywhere, lined_site, read_all, read_line, until};

fn nobody_exempt() -> Limits {
    Limits { exempt: Vec::new(), ..Limits::default() }
}

async fn say(stream: &mut TcpStream, text: &str) -> String {
    stream.write_all(format!("say {text}\n").as_bytes()).await.unwrap();
    read_line(stream).await
}

#[tokio::test]
async fn one_address_has_so_many_connections() {
    let limits = Limits { address_connections_max: 2, ..nobody_exempt() };
    let (site, _desk) = lined_site(limits, &Listen::at(anywhere()));
    let (meters, lines) = (site.meters(), site.lines());
    let open = site.start().unwrap();
    let address = open.bound()["lined"][0];
    let mut one = TcpStream::connect(address).await.unwrap();
    let mut two = TcpStream::connect(address).await.unwrap();
    assert_eq!(say(&mut one, "one").await, "one");
    assert_eq!(say(&mut two, "two").await, "two");
    let mut three = TcpStream::connect(address).await.unwrap();
    assert_eq!(read_all(&mut three).await, "");
    assert_eq!(meters.refused_address.value(), 1);
    drop(one);
    until("one is gone", || lines.count() == 1).await;
    let mut four = TcpStream::connect(address).await.unwrap();
    assert_eq!(say(&mut four, "four").await, "four");
}

#[tokio::test]
async fn one_address_opens_so_many_a_second() {
    let limits = Limits { address_rate_max: 1, ..nobody_exempt() };
    let (site, _desk) = lined_site(limits, &Listen::at(anywhere()));
    let meters = site.meters();
    let open = site.start().unwrap();
    let address = open.bound()["lined"][0];
    for _ in 0..20 {
        drop(TcpStream::connect(address).await);
    }
    until("some are refused", || meters.refused_rate.value() > 0).await;
}

#[tokio::test]
async fn all_doors_together_have_so_many_connections() {
    let limits = Limits { connections_max: 1, ..Limits::default() };
    let (site, _desk) = lined_site(limits, &Listen::at(anywhere()));
    let meters = site.meters();
    let open = site.start().unwrap();
    let address = open.bound()["lined"][0];
    let mut one = TcpStream::connect(address).await.unwrap();
    assert_eq!(say(&mut one, "one").await, "one");
    let mut two = TcpStream::connect(address).await.unwrap();
    assert_eq!(read_all(&mut two).await, "");
    assert_eq!(meters.refused_full.value(), 1);
    let none = open.reload(Limits::default());
    assert!(none.is_empty());
    let mut three = TcpStream::connect(address).await.unwrap();
    assert_eq!(say(&mut three, "three").await, "three");
}

#[tokio::test]
async fn a_port_that_is_taken_is_named_with_its_setting() {
    let (site, _desk) = lined_site(Limits::default(), &Listen::at(anywhere()));
    let open = site.start().unwrap();
    let address = open.bound()["lined"][0];
    let mut second = Site::new(Limits::default(), std::sync::Arc::new(SystemClock));
    let taken = second.tcp("mqtt", &Listen::at(address), |_| unreachable!());
    let error = taken.unwrap_err().to_string();
    assert!(error.contains(&address.to_string()) && error.contains("mqtt.listen"), "{error}");
    assert!(error.contains("another program"), "{error}");
    let nowhere = Listen::at("192.0.2.1:80".parse().unwrap());
    assert!(matches!(second.tcp("mqtt", &nowhere, |_| unreachable!()), Err(SiteError::Listen { .. })));
}

#[tokio::test]
async fn behind_a_balancer_the_client_is_who_it_says() {
    let listen = Listen { proxy_from: vec!["127.0.0.0/8".parse().unwrap()], ..Listen::at(anywhere()) };
    let (site, _desk) = lined_site(Limits::default(), &listen);
    let (lines, meters) = (site.lines(), site.meters());
    let open = site.start().unwrap();
    let address = open.bound()["lined"][0];

    let mut v1 = TcpStream::connect(address).await.unwrap();
    v1.write_all(b"PROXY TCP4 192.0.2.7 198.51.100.1 56324 443\r\nsay one\n").await.unwrap();
    assert_eq!(read_line(&mut v1).await, "one");
    let mut v2 = TcpStream::connect(address).await.unwrap();
    let header = b"\r\n\r\n\0\r\nQUIT\n\x21\x11\0\x0c\xc0\0\x02\x08\xc6\x33\x64\x01\xdc\x04\x01\xbb";
    for byte in header {
        v2.write_all(&[*byte]).await.unwrap();
    }
    assert_eq!(say(&mut v2, "two").await, "two");
    let mut seen: Vec<_> = lines.list(0, 10).iter().map(|line| line.address.to_string()).collect();
    seen.sort();
    assert_eq!(seen, ["192.0.2.7:56324", "192.0.2.8:56324"]);

    let mut without = TcpStream::connect(address).await.unwrap();
    without.write_all(b"say hello\n").await.unwrap();
    assert_eq!(read_all(&mut without).await, "");
    assert_eq!(meters.handshakes_failed.value(), 1);
}

#[tokio::test]
async fn a_proxy_header_must_come_in_time() {
    let listen = Listen { proxy_from: vec!["127.0.0.0/8".parse().unwrap()], ..Listen::at(anywhere()) };
    let limits = Limits { handshake_within: Duration::from_millis(50), ..Limits::default() };
    let (site, _desk) = lined_site(limits, &listen);
    let open = site.start().unwrap();
    let mut silent = TcpStream::connect(open.bound()["lined"][0]).await.unwrap();
    silent.write_all(b"PROXY TCP4 ").await.unwrap();
    assert_eq!(read_all(&mut silent).await, "");
}

#[tokio::test]
async fn clients_behind_a_balancer_are_limited_one_by_one() {
    let listen = Listen { proxy_from: vec!["127.0.0.0/8".parse().unwrap()], ..Listen::at(anywhere()) };
    let limits = Limits { address_connections_max: 1, ..Limits::default() };
    let (site, _desk) = lined_site(limits, &listen);
    let open = site.start().unwrap();
    let address = open.bound()["lined"][0];
    let mut streams = Vec::new();
    for (client, heard) in [(7, "hi"), (8, "hi"), (7, "")] {
        let mut stream = TcpStream::connect(address).await.unwrap();
        let bytes = format!("PROXY TCP4 192.0.2.{client} 198.51.100.1 1 443\r\nsay hi\n");
        stream.write_all(bytes.as_bytes()).await.unwrap();
        assert_eq!(read_line(&mut stream).await, heard);
        streams.push(stream);
    }
}

#[tokio::test]
async fn draining_stops_accepting_says_goodbye_and_waits() {
    let (site, desk) = lined_site(Limits::default(), &Listen::at(anywhere()));
    let open = site.start().unwrap();
    let address = open.bound()["lined"][0];
    let mut one = TcpStream::connect(address).await.unwrap();
    one.write_all(b"later a\nsay sent\n").await.unwrap();
    assert_eq!(read_line(&mut one).await, "sent");
    let drained = tokio::spawn(open.drain(Duration::from_secs(20)));
    while TcpStream::connect(address).await.is_ok() {
        tokio::task::yield_now().await;
    }
    desk.answer();
    assert_eq!(read_line(&mut one).await, "= a");
    assert_eq!(read_line(&mut one).await, "bye 1001");
    assert_eq!(read_all(&mut one).await, "");
    drop(one);
    assert_eq!(drained.await.unwrap(), 0);
    assert_eq!(desk.gone(), 1);
}

#[tokio::test]
async fn who_does_not_go_is_cut() {
    let (site, desk) = lined_site(Limits::default(), &Listen::at(anywhere()));
    let open = site.start().unwrap();
    let mut one = TcpStream::connect(open.bound()["lined"][0]).await.unwrap();
    one.write_all(b"later a\nsay sent\n").await.unwrap();
    assert_eq!(read_line(&mut one).await, "sent");
    assert_eq!(open.drain(Duration::from_millis(50)).await, 1);
    assert_eq!(read_all(&mut one).await, "");
    assert_eq!(desk.gone(), 1);
}

#[tokio::test]
async fn an_operator_sees_connections_and_may_end_one() {
    let (site, _desk) = lined_site(Limits::default(), &Listen::at(anywhere()));
    let lines = site.lines();
    let open = site.start().unwrap();
    let mut one = TcpStream::connect(open.bound()["lined"][0]).await.unwrap();
    let mut two = TcpStream::connect(open.bound()["lined"][0]).await.unwrap();
    assert_eq!(say(&mut one, "hello").await, "hello");
    assert_eq!(say(&mut two, "you").await, "you");
    let list = lines.list(0, 10);
    assert_eq!(list.len(), 2);
    assert_eq!((list[0].door, list[0].bytes_in, list[0].bytes_out), ("lined", 10, 6));
    assert_eq!(list[0].address, one.local_addr().unwrap());
    assert_eq!(lines.list(list[0].id, 10), list[1..]);
    assert!(lines.leave(list[0].id, Close::KICKED));
    assert_eq!(read_line(&mut one).await, "bye 4030");
    drop(one);
    until("it is gone", || lines.count() == 1).await;
    assert!(!lines.leave(list[0].id, Close::KICKED));
}

#[tokio::test]
async fn a_panic_ends_one_connection_and_is_counted() {
    let (site, desk) = lined_site(Limits::default(), &Listen::at(anywhere()));
    let meters = site.meters();
    let open = site.start().unwrap();
    let address = open.bound()["lined"][0];
    let mut one = TcpStream::connect(address).await.unwrap();
    one.write_all(b"panic\n").await.unwrap();
    assert_eq!(read_all(&mut one).await, "");
    until("it is counted", || meters.panics.value() == 1).await;
    assert_eq!(desk.gone(), 1);
    let mut two = TcpStream::connect(address).await.unwrap();
    assert_eq!(say(&mut two, "well").await, "well");
}

#[tokio::test]
async fn tasks_end_with_the_site() {
    struct Dropped(Desk);
    impl Drop for Dropped {
        fn drop(&mut self) {
            self.0.deliver("dropped");
        }
    }
    let (mut site, desk) = lined_site(Limits::default(), &Listen::at(anywhere()));
    let held = Dropped(desk.clone());
    site.task("for ever", async move {
        let _held = held;
        std::future::pending::<()>().await;
    });
    let open = site.start().unwrap();
    assert_eq!(open.drain(Duration::from_secs(1)).await, 0);
    let seat = crate::support::Seat(desk);
    until("it is dropped", || {
        let mut seat = crate::support::Seat(seat.0.clone());
        let mut taken = Vec::new();
        let now = yizhan_talk::Clock::now(&SystemClock);
        let mut cx = std::task::Context::from_waker(std::task::Waker::noop());
        yizhan_talk::Backend::poll_deliveries(&mut seat, &mut cx, now, &mut taken, 1).is_ready()
    })
    .await;
}
