//! HTTP/1.1 and HTTP/2 on one port: routes, bodies, deadlines, events.

use std::{net::SocketAddr, sync::Arc, time::Duration};

use bytes::{Bytes, BytesMut};
use http::StatusCode;
use http_body_util::{BodyExt, Empty, Full};
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};
use yizhan_net::{
    Body, EventBody, FetchError, Flow, Http, Limits, Open, Request, Response, Route, Site, SystemClock,
    fetch, reply,
};

use crate::support::{Desk, Lined, Seat, anywhere, ask_raw, read_all, read_line, until};

fn http_at_any_port() -> Http {
    Http { listen: vec![anywhere()], body_bytes_max: 1000, ..Http::default() }
}

/// Says what it was asked.
async fn describe(mut request: Request) -> Response {
    let body = match request.body().await {
        Ok(body) => body,
        Err(error) => return error.into(),
    };
    let query: Vec<_> = request.query().map(|(name, value)| format!("{name}={value}")).collect();
    let text = format!(
        "{} topic={} query={} token={} body={}",
        request.method(),
        request.param("topic"),
        query.join(","),
        request.authorization("Bearer").unwrap_or("none"),
        String::from_utf8_lossy(&body),
    );
    reply::bytes(StatusCode::OK, "text/plain", text)
}

struct Web {
    open: Open,
    address: SocketAddr,
    desk: Desk,
}

fn web(config: &Http) -> Web {
    let mut site = Site::new(Limits::default(), Arc::new(SystemClock));
    site.listen_http(config).unwrap();
    site.http(Route::get("/"), |_| Box::pin(async { reply::json(StatusCode::OK, "{}") }));
    site.http(Route::post("/v1/publish/{*topic}"), |request| Box::pin(describe(request)));
    site.http(Route::get("/v1/publish/{*topic}"), |request| Box::pin(describe(request)));
    site.http(Route::get("/panic"), |_| Box::pin(async { panic!("a test wants it") }));
    let desk = Desk::default();
    let seats = desk.clone();
    site.http(Route::get("/events"), move |request| {
        let seat = Seat(seats.clone());
        Box::pin(async move {
            let first = BytesMut::from(&b"say welcome\nlater subscribe\n"[..]);
            let events = EventBody::new(Lined::default(), seat, first, request.line(), "sse");
            Response::new(Body::stream(events))
        })
    });
    let open = site.start().unwrap();
    let address = open.bound()["http"][0];
    Web { open, address, desk }
}

fn status(response: &str) -> &str {
    response.split(' ').nth(1).unwrap_or_default()
}

#[tokio::test]
async fn routes_have_parameters_queries_and_bodies() {
    let web = web(&http_at_any_port());
    let response = ask_raw(
        web.address,
        "POST /v1/publish/rooms/k%C3%BCche?last=10&a=b%20c HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\
         Authorization: bearer abc\r\nContent-Length: 5\r\n\r\nhello",
    )
    .await;
    assert_eq!(status(&response), "200");
    let body = "POST topic=rooms/küche query=last=10,a=b c token=abc body=hello";
    assert!(response.ends_with(body), "{response}");
}

#[tokio::test]
async fn what_is_not_there_is_said_in_json() {
    let web = web(&http_at_any_port());
    for (request, code, says) in [
        ("GET /nothing", "404", r#""status":404"#),
        ("GET /v1/publish/%zz", "400", r#""type":"error""#),
        ("PUT /v1/publish/a", "405", "allow: POST, GET, HEAD, OPTIONS"),
        ("GET /panic", "500", "a bug of ours"),
    ] {
        let request = format!("{request} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
        let response = ask_raw(web.address, &request).await;
        assert_eq!(status(&response), code, "{request}");
        assert!(response.contains(says), "{response}");
        assert!(response.contains("application/json"), "{response}");
    }
    assert_eq!(web.open.meters().panics.value(), 1);
    assert_eq!(web.open.meters().requests.value(), 4);
}

#[tokio::test]
async fn head_is_get_without_a_body() {
    let web = web(&http_at_any_port());
    let response = ask_raw(web.address, "HEAD / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n").await;
    assert!(response.contains("content-length: 2") && response.ends_with("\r\n\r\n"), "{response}");
}

#[tokio::test]
async fn a_body_has_so_many_bytes() {
    let web = web(&http_at_any_port());
    let told = "POST /v1/publish/a HTTP/1.1\r\nHost: x\r\nContent-Length: 1001\r\n\r\n".to_owned();
    let response = ask_raw(web.address, &(told + &"x".repeat(1001))).await;
    assert_eq!(status(&response), "413");
    let chunk = format!("1f4\r\n{}\r\n", "x".repeat(500)).repeat(3);
    let untold = "POST /v1/publish/a HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n".to_owned();
    let response = ask_raw(web.address, &(untold + &chunk)).await;
    assert_eq!(status(&response), "413");
}

#[tokio::test]
async fn a_body_must_come_in_time() {
    let web = web(&Http { body_within: Duration::from_millis(50), ..http_at_any_port() });
    let request = "POST /v1/publish/a HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n\r\nhel";
    assert_eq!(status(&ask_raw(web.address, request).await), "408");
}

#[tokio::test]
async fn a_head_must_come_in_time_and_fit() {
    let config = Http { header_within: Duration::from_millis(100), ..http_at_any_port() };
    let web = web(&Http { header_bytes_max: 8192, ..config });
    for drip in ["", "G", "GET / HTTP/1.1\r\nHost: x\r\n"] {
        assert_eq!(ask_raw(web.address, drip).await, "", "{drip:?}");
    }
    let long = format!("GET / HTTP/1.1\r\nHost: x\r\nLong: {}\r\n\r\n", "x".repeat(9000));
    assert_eq!(status(&ask_raw(web.address, &long).await), "431");
    // The second request of a connection has the same time.
    let mut stream = TcpStream::connect(web.address).await.unwrap();
    stream.write_all(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n").await.unwrap();
    let mut head = String::new();
    while !head.ends_with("\r\n{}") {
        head.push(char::from(stream.read_u8().await.unwrap()));
    }
    stream.write_all(b"GET / HTTP/1.1\r\nHost").await.unwrap();
    let response = head + &read_all(&mut stream).await;
    assert_eq!(response.matches("HTTP/1.1 200").count(), 1);
}

#[tokio::test]
async fn an_idle_connection_is_closed() {
    let web = web(&Http { idle_max: Duration::from_millis(50), ..http_at_any_port() });
    let response = ask_raw(web.address, "GET / HTTP/1.1\r\nHost: x\r\n\r\n").await;
    assert_eq!(status(&response), "200");
}

#[tokio::test]
async fn pages_of_other_origins_need_leave() {
    let web = web(&Http { origins: vec!["https://good.example".into()], ..http_at_any_port() });
    let preflight = |origin: &str| {
        format!(
            "OPTIONS /v1/publish/a HTTP/1.1\r\nHost: x\r\nOrigin: {origin}\r\nConnection: close\r\n\
             Access-Control-Request-Method: POST\r\nAccess-Control-Request-Headers: authorization\r\n\r\n"
        )
    };
    let good = ask_raw(web.address, &preflight("https://good.example")).await;
    assert_eq!(status(&good), "204");
    for header in [
        "access-control-allow-origin: https://good.example\r\n",
        "access-control-allow-methods: POST, GET, HEAD, OPTIONS\r\n",
        "access-control-allow-headers: authorization\r\n",
        "vary: Origin\r\n",
    ] {
        assert!(good.contains(header), "{header} in {good}");
    }
    let bad = ask_raw(web.address, &preflight("https://bad.example")).await;
    assert!(!bad.contains("access-control"), "{bad}");
    let request = "GET / HTTP/1.1\r\nHost: x\r\nOrigin: https://good.example\r\nConnection: close\r\n\r\n";
    assert!(
        ask_raw(web.address, request).await.contains("access-control-allow-origin: https://good.example")
    );
}

#[tokio::test]
async fn http2_is_spoken_on_the_same_port() {
    let web = web(&http_at_any_port());
    let stream = TokioIo::new(TcpStream::connect(web.address).await.unwrap());
    let (mut client, connection) =
        hyper::client::conn::http2::handshake(TokioExecutor::new(), stream).await.unwrap();
    let connection = tokio::spawn(connection);
    for i in 0..3 {
        let request = http::Request::post(format!("http://x/v1/publish/room/{i}"))
            .body(Full::new(Bytes::from("hello")))
            .unwrap();
        let response = client.send_request(request).await.unwrap();
        let body = response.into_body().collect().await.unwrap().to_bytes();
        assert_eq!(body, format!("POST topic=room/{i} query= token=none body=hello"));
    }
    let drained = tokio::spawn(web.open.drain(Duration::from_secs(20)));
    assert!(connection.await.unwrap().is_ok(), "it is told to go, and goes");
    assert_eq!(drained.await.unwrap(), 0);
}

#[tokio::test]
async fn events_flow_as_they_come_and_answers_come_first() {
    let web = web(&http_at_any_port());
    let mut stream = TcpStream::connect(web.address).await.unwrap();
    stream.write_all(b"GET /events HTTP/1.0\r\n\r\n").await.unwrap();
    while read_line(&mut stream).await != "\r" {}
    assert_eq!(read_line(&mut stream).await, "welcome");
    web.desk.deliver("one");
    assert_eq!(read_line(&mut stream).await, "> one");
    web.desk.answer();
    assert_eq!(read_line(&mut stream).await, "= subscribe");
    for i in 0..2000 {
        web.desk.deliver(i.to_string());
    }
    for i in 0..2000 {
        assert_eq!(read_line(&mut stream).await, format!("> {i}"));
    }
    let doors: Vec<_> = web.open.lines().list(0, 10).iter().map(|line| line.door).collect();
    assert_eq!(doors, ["http", "sse"]);
    drop(stream);
    until("the backend is dropped", || web.desk.gone() == 1).await;
    until("nobody is there", || web.open.lines().count() == 0).await;
}

#[tokio::test]
async fn event_streams_say_goodbye_too() {
    let web = web(&http_at_any_port());
    let mut stream = TcpStream::connect(web.address).await.unwrap();
    stream.write_all(b"GET /events HTTP/1.1\r\nHost: x\r\n\r\n").await.unwrap();
    while read_line(&mut stream).await != "welcome" {}
    let drained = tokio::spawn(web.open.drain(Duration::from_secs(20)));
    let rest = read_all(&mut stream).await;
    assert!(rest.contains("bye 1001\n") && rest.ends_with("0\r\n\r\n"), "{rest:?}");
    drop(stream);
    assert_eq!(drained.await.unwrap(), 0);
}

#[tokio::test]
async fn who_does_not_read_events_has_none_taken() {
    let web = web(&http_at_any_port());
    let mut stream = TcpStream::connect(web.address).await.unwrap();
    stream.write_all(b"GET /events HTTP/1.1\r\nHost: x\r\n\r\n").await.unwrap();
    while read_line(&mut stream).await != "welcome" {}
    let large = "x".repeat(100_000);
    for _ in 0..400 {
        web.desk.deliver(large.as_str());
    }
    // Buffers of the system and of hyper fill; then nothing more is taken.
    let mut taken = 0;
    loop {
        tokio::time::sleep(Duration::from_millis(200)).await;
        if taken > 0 && web.desk.taken() == taken {
            break;
        }
        taken = web.desk.taken();
    }
    assert!(taken < 400, "{taken} of 400 were taken for a client that reads nothing");
}

#[tokio::test]
async fn a_small_client_fetches() {
    let web = web(&http_at_any_port());
    let url = |path: &str| format!("http://{}{path}", web.address);
    let within = Duration::from_secs(10);
    assert_eq!(fetch(&url("/"), 100, within).await.unwrap(), "{}");
    assert!(matches!(fetch(&url("/"), 1, within).await, Err(FetchError::TooLarge(1))));
    assert!(matches!(fetch(&url("/nothing"), 100, within).await, Err(FetchError::Status(404))));
    let late = fetch(&url("/events"), 1000, Duration::from_millis(50)).await;
    assert!(matches!(late, Err(FetchError::Late(_))));
    assert!(matches!(fetch("http://192.0.2.1/", 100, within).await, Err(FetchError::BadUrl(_))));
}

#[tokio::test]
async fn requests_follow_one_another_and_a_drain_ends_an_idle_connection() {
    let web = web(&http_at_any_port());
    let stream = TokioIo::new(TcpStream::connect(web.address).await.unwrap());
    let (mut client, connection) = hyper::client::conn::http1::handshake(stream).await.unwrap();
    let connection = tokio::spawn(connection);
    for _ in 0..3 {
        let request = http::Request::get("/").header("Host", "x").body(Empty::<Bytes>::new()).unwrap();
        let response = client.send_request(request).await.unwrap();
        assert_eq!(response.into_body().collect().await.unwrap().to_bytes(), "{}");
    }
    let drained = tokio::spawn(web.open.drain(Duration::from_secs(20)));
    assert!(connection.await.unwrap().is_ok());
    assert_eq!(drained.await.unwrap(), 0);
}

#[tokio::test]
async fn a_flow_gives_what_comes_ends_with_its_stream_and_says_goodbye_at_a_drain() {
    let mut site = Site::new(Limits::default(), Arc::new(SystemClock));
    site.listen_http(&http_at_any_port()).unwrap();
    site.http(Route::get("/some"), |request| {
        let parts = futures_util::stream::iter([Bytes::from_static(b"one "), Bytes::from_static(b"two")]);
        let flow = Flow::new(parts, request.line(), "flow");
        Box::pin(async { Response::new(Body::stream(flow)) })
    });
    site.http(Route::get("/endless"), |request| {
        let parts = futures_util::stream::once(std::future::ready(Bytes::from_static(b"begun\n")));
        let parts = futures_util::StreamExt::chain(parts, futures_util::stream::pending());
        let flow = Flow::new(parts, request.line(), "flow");
        Box::pin(async { Response::new(Body::stream(flow)) })
    });
    let open = site.start().unwrap();
    let address = open.bound()["http"][0];
    let some = ask_raw(address, "GET /some HTTP/1.0\r\n\r\n").await;
    assert!(some.ends_with("\r\n\r\none two"), "{some}");
    assert_eq!(open.meters().door("flow").closes(), [(1000, 1)]);
    let mut stream = TcpStream::connect(address).await.unwrap();
    stream.write_all(b"GET /endless HTTP/1.1\r\nHost: x\r\n\r\n").await.unwrap();
    while read_line(&mut stream).await != "begun" {}
    let doors: Vec<_> = open.lines().list(0, 10).iter().map(|line| line.door).collect();
    assert_eq!(doors, ["http", "flow"]);
    let drained = tokio::spawn(open.drain(Duration::from_secs(20)));
    let rest = read_all(&mut stream).await;
    assert!(rest.ends_with("0\r\n\r\n"), "{rest:?}");
    drop(stream);
    assert_eq!(drained.await.unwrap(), 0);
}
