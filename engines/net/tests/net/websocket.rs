//! WebSockets over real ports: handshakes over HTTP/1.1 and HTTP/2, talks, drains.

use std::{net::SocketAddr, sync::Arc, time::Duration};

use bytes::{Bytes, BytesMut};
use http::StatusCode;
use http_body_util::Empty;
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};
use yizhan_net::{
    Http, Kind, Limits, Open, Route, Site, SystemClock, reply,
    websocket::client::{Client, ClientError, Options, Said, connect},
};

use crate::support::{Desk, anywhere, ask_raw, lined_websocket, read_line, until};

struct Web {
    open: Open,
    address: SocketAddr,
    desk: Desk,
}

fn web_with(config: Http, limits: Limits) -> Web {
    let mut site = Site::new(limits, Arc::new(SystemClock));
    site.listen_http(&Http { listen: vec![anywhere()], ..config }).unwrap();
    let desk = lined_websocket(&mut site);
    let open = site.start().unwrap();
    let address = open.bound()["http"][0];
    Web { open, address, desk }
}

fn web() -> Web {
    web_with(Http::default(), Limits::default())
}

impl Web {
    fn url(&self) -> String {
        format!("ws://{}/lined", self.address)
    }
}

async fn hears(client: &mut Client) -> String {
    match client.next().await.unwrap() {
        Said::Message(_, bytes) => String::from_utf8(bytes.to_vec()).unwrap(),
        Said::Close(code, reason) => format!("close {code} {reason}"),
    }
}

const HANDSHAKE: &str = "GET /lined HTTP/1.1\r\nHost: x\r\nConnection: keep-alive, Upgrade\r\n\
     Upgrade: WebSocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n";

#[tokio::test]
async fn a_client_talks() {
    let web = web();
    let mut client = connect(&web.url(), &Options::default()).await.unwrap();
    client.send_text("say hello").await.unwrap();
    assert_eq!(hears(&mut client).await, "hello");
    client.send_text("now a").await.unwrap();
    assert_eq!(hears(&mut client).await, "= a");
    web.desk.deliver("news");
    assert_eq!(hears(&mut client).await, "> news");
    client.ping(b"are you there").await.unwrap();
    client.send_text("say after the ping").await.unwrap();
    assert_eq!(hears(&mut client).await, "after the ping");
    let doors: Vec<_> = web.open.lines().list(0, 10).iter().map(|line| line.door).collect();
    assert_eq!(doors, ["ws"], "nothing of HTTP is left");
    assert_eq!(client.close(1000, "enough").await.unwrap(), (1000, String::new()));
    until("the backend is dropped", || web.desk.gone() == 1).await;
    assert_eq!(web.open.meters().door("ws").closes(), [(1000, 1)]);
}

#[tokio::test]
async fn what_comes_with_the_handshake_is_not_lost() {
    let web = web();
    let mut stream = TcpStream::connect(web.address).await.unwrap();
    // "say x", masked with zeros.
    let first = b"\x81\x85\0\0\0\0say x";
    stream.write_all(&[HANDSHAKE.as_bytes(), b"\r\n", first].concat()).await.unwrap();
    assert_eq!(read_line(&mut stream).await, "HTTP/1.1 101 Switching Protocols\r");
    let mut accepted = false;
    loop {
        let line = read_line(&mut stream).await;
        accepted |= line == "sec-websocket-accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r";
        if line == "\r" {
            break;
        }
    }
    assert!(accepted);
    let mut frame = [0; 3];
    stream.read_exact(&mut frame).await.unwrap();
    assert_eq!(&frame, b"\x81\x01x");
}

#[tokio::test]
async fn wrong_handshakes_are_answered_with_what_is_wrong() {
    let web = web();
    for (request, status, says) in [
        ("GET /lined HTTP/1.1\r\nHost: x\r\n".to_owned(), "426", "upgrade: websocket"),
        (HANDSHAKE.replace("13", "8"), "426", "sec-websocket-version: 13"),
        (HANDSHAKE.replace("dGhl", "dGhlIHNh"), "400", "16 bytes"),
        (HANDSHAKE.replace("GET", "POST"), "405", "allow: GET"),
        (format!("{HANDSHAKE}Sec-WebSocket-Protocol: mqtt, amqp\r\n"), "400", "ask for lined or lined.bytes"),
        (format!("{HANDSHAKE}Origin: http://evil.example\r\n"), "403", "http.origins"),
        (HANDSHAKE.replace("/lined", "/nothing"), "404", "nothing at this path"),
    ] {
        let request =
            request.replace("keep-alive, ", "").replace("Connection: Upgrade", "Connection: close, Upgrade");
        let request =
            if request.contains("Connection") { request } else { request + "Connection: close\r\n" };
        let response = ask_raw(web.address, &format!("{request}\r\n")).await;
        assert!(response.starts_with(&format!("HTTP/1.1 {status}")), "{request}: {response}");
        assert!(response.contains(says), "{says} in {response}");
    }
    assert_eq!(web.open.meters().handshakes_failed.value(), 5);
}

#[tokio::test]
async fn own_pages_and_named_origins_may_connect() {
    let web =
        web_with(Http { origins: vec!["https://good.example".into()], ..Http::default() }, Limits::default());
    for (origin, good) in [
        (format!("http://{}", web.address), true),
        ("https://good.example".to_owned(), true),
        ("https://bad.example".to_owned(), false),
    ] {
        let options = Options { headers: vec![("Origin".into(), origin)], ..Options::default() };
        assert_eq!(connect(&web.url(), &options).await.is_ok(), good);
    }
}

#[tokio::test]
async fn the_clients_first_subprotocol_that_is_spoken_is_chosen() {
    let web = web();
    for (offered, chosen, kind) in [
        (&[][..], None, Kind::Text),
        (&["lined"], Some("lined"), Kind::Text),
        (&["other", "lined.bytes", "lined"], Some("lined.bytes"), Kind::Binary),
    ] {
        let subprotocols = offered.iter().map(|name| (*name).to_owned()).collect();
        let mut client = connect(&web.url(), &Options { subprotocols, ..Options::default() }).await.unwrap();
        assert_eq!(client.subprotocol(), chosen);
        client.send(kind, b"say hello").await.unwrap();
        assert_eq!(client.next().await.unwrap(), Said::Message(kind, BytesMut::from("hello")));
    }
    let other = Options { subprotocols: vec!["other".into()], ..Options::default() };
    let refused = connect(&web.url(), &other).await;
    assert!(matches!(refused, Err(ClientError::Refused { status: 400, .. })));
}

#[tokio::test]
async fn messages_are_compressed_where_both_want_it() {
    let web = web();
    let long = "word ".repeat(2000);
    for (deflate, bytes_max) in [(true, 2_000), (false, 20_000)] {
        let options = Options { deflate, ..Options::default() };
        let mut client = connect(&web.url(), &options).await.unwrap();
        let before = web.open.meters().door("ws").bytes_out.value();
        client.send_text(&format!("say {long}")).await.unwrap();
        assert_eq!(hears(&mut client).await, long);
        let sent = web.open.meters().door("ws").bytes_out.value() - before;
        assert!(sent < bytes_max, "{sent} bytes");
        assert_eq!(sent < long.len() as u64, deflate);
    }
    let config = Http::default();
    let off = yizhan_net::Deflate { on: false, ..config.deflate };
    let web = web_with(Http { deflate: off, ..config }, Limits::default());
    let mut client = connect(&web.url(), &Options { deflate: true, ..Options::default() }).await.unwrap();
    client.send_text("say plain").await.unwrap();
    assert_eq!(hears(&mut client).await, "plain");
}

#[tokio::test]
async fn a_message_that_is_too_large_closes_with_1009() {
    let web = web_with(Http { message_bytes_max: 1000, ..Http::default() }, Limits::default());
    let mut client = connect(&web.url(), &Options::default()).await.unwrap();
    client.send_text(&format!("say {}", "x".repeat(996))).await.unwrap();
    assert_eq!(hears(&mut client).await.len(), 996);
    client.send_text(&format!("say {}", "x".repeat(997))).await.unwrap();
    assert!(hears(&mut client).await.starts_with("close 1009"));
    assert_eq!(client.next().await.unwrap(), Said::Close(1006, String::new()), "and the stream ends");
}

#[tokio::test]
async fn many_deliveries_reach_many_clients_in_order() {
    let web = web();
    let mut clients = Vec::new();
    for _ in 0..20 {
        clients.push(connect(&web.url(), &Options::default()).await.unwrap());
    }
    // All clients share one desk: each delivery goes to one of them, and none is lost.
    for i in 0..5000 {
        web.desk.deliver(i.to_string());
    }
    until("all are taken", || web.desk.taken() == 5000).await;
    let mut all = Vec::new();
    for client in &mut clients {
        client.send_text("say end").await.unwrap();
        let mut last = -1;
        loop {
            let heard = hears(client).await;
            let Some(number) = heard.strip_prefix("> ") else { break };
            let number: i32 = number.parse().unwrap();
            assert!(number > last);
            last = number;
            all.push(number);
        }
    }
    all.sort_unstable();
    assert_eq!(all, (0..5000).collect::<Vec<_>>());
}

#[tokio::test]
async fn a_drain_says_goodbye_with_1001() {
    let web = web();
    let mut client = connect(&web.url(), &Options::default()).await.unwrap();
    client.send_text("later a").await.unwrap();
    until("it is called", || web.desk.calls().len() == 1).await;
    let drained = tokio::spawn(web.open.drain(Duration::from_secs(20)));
    web.desk.answer();
    assert_eq!(hears(&mut client).await, "= a");
    assert_eq!(hears(&mut client).await, "bye 1001");
    assert!(hears(&mut client).await.starts_with("close 1001 the server is going away"));
    drop(client);
    assert_eq!(drained.await.unwrap(), 0);
}

#[tokio::test]
async fn who_stops_reading_is_closed_and_costs_the_others_nothing() {
    let limits = Limits { write_stall_max: Duration::from_millis(300), ..Limits::default() };
    let web = web_with(Http::default(), limits);
    let mut stalled = connect(&web.url(), &Options::default()).await.unwrap();
    let large = "x".repeat(900_000);
    for _ in 0..40 {
        stalled.put(Kind::Text, format!("say {large}").as_bytes());
    }
    // It sends and does not read; the server stops reading it, and then lets it go.
    let flushed = tokio::time::timeout(Duration::from_secs(30), stalled.flush()).await;
    drop(flushed.expect("it is let go"));
    let mut other = connect(&web.url(), &Options::default()).await.unwrap();
    other.send_text("say well").await.unwrap();
    assert_eq!(hears(&mut other).await, "well");
    until("it is counted", || web.open.meters().door("ws").closes() == [(4010, 1)]).await;
}

#[tokio::test]
async fn a_websocket_is_a_stream_of_http2_too() {
    let web = web();
    let stream = TokioIo::new(TcpStream::connect(web.address).await.unwrap());
    let (mut client, connection) =
        hyper::client::conn::http2::handshake(TokioExecutor::new(), stream).await.unwrap();
    tokio::spawn(connection);
    let request = |path: &str| {
        http::Request::connect(format!("http://x{path}"))
            .extension(hyper::ext::Protocol::from_static("websocket"))
            .header("sec-websocket-version", "13")
            .header("sec-websocket-protocol", "lined")
            .body(Empty::<Bytes>::new())
            .unwrap()
    };
    // The server says that it takes such requests with its first settings.
    let response = loop {
        match client.send_request(request("/lined")).await {
            Ok(response) => break response,
            Err(_) => tokio::task::yield_now().await,
        }
    };
    assert_eq!(response.status(), 200);
    assert_eq!(response.headers()["sec-websocket-protocol"], "lined");
    let mut socket = TokioIo::new(hyper::upgrade::on(response).await.unwrap());
    socket.write_all(b"\x81\x85\0\0\0\0say x\x81\x85\0\0\0\0now y").await.unwrap();
    let mut heard = [0; 8];
    socket.read_exact(&mut heard).await.unwrap();
    assert_eq!(&heard, b"\x81\x01x\x81\x03= y");
    web.desk.deliver("z");
    let mut heard = [0; 5];
    socket.read_exact(&mut heard).await.unwrap();
    assert_eq!(&heard, b"\x81\x03> z");
    assert_eq!(web.open.meters().door("ws").connections.value(), 1);
    drop(socket);
    until("the backend is dropped", || web.desk.gone() == 1).await;
    let nothing = client.send_request(request("/nothing")).await.unwrap();
    assert_eq!(nothing.status(), 404);
}

#[tokio::test]
async fn a_path_may_have_a_plain_get_beside_the_websocket() {
    let mut site = Site::new(Limits::default(), Arc::new(SystemClock));
    site.listen_http(&Http { listen: vec![anywhere()], ..Http::default() }).unwrap();
    let desk = lined_websocket(&mut site);
    site.http(Route::get("/lined"), |_| Box::pin(async { reply::json(StatusCode::OK, "{}") }));
    let open = site.start().unwrap();
    let web = Web { address: open.bound()["http"][0], open, desk };
    let plain = ask_raw(web.address, "GET /lined HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n").await;
    assert!(plain.starts_with("HTTP/1.1 200") && plain.ends_with("{}"), "{plain}");
    let head = ask_raw(web.address, "HEAD /lined HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n").await;
    assert!(head.starts_with("HTTP/1.1 200"), "{head}");
    let post = ask_raw(web.address, "POST /lined HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n").await;
    assert!(post.contains("405") && post.contains("allow: GET, HEAD, OPTIONS\r\n"), "{post}");
    let mut client = connect(&web.url(), &Options::default()).await.unwrap();
    client.send_text("say hello").await.unwrap();
    assert_eq!(hears(&mut client).await, "hello");
}
