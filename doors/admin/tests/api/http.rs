//! The door on a real port.

use std::{net::SocketAddr, sync::atomic::Ordering::SeqCst, time::Duration};

use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
};
use yizhan_admin::{Admin, Config};
use yizhan_net::{Door as _, Http, Limits, Site};

use crate::world::World;

struct Answer {
    status: u16,
    head: String,
    body: String,
}

impl Answer {
    fn header(&self, name: &str) -> Option<&str> {
        self.head.lines().find_map(|line| {
            let (known, value) = line.split_once(':')?;
            known.eq_ignore_ascii_case(name).then(|| value.trim())
        })
    }
}

async fn send(at: SocketAddr, first: &str, headers: &str, body: &str) -> Answer {
    let mut stream = TcpStream::connect(at).await.unwrap();
    let length = body.len();
    let text =
        format!("{first} HTTP/1.1\r\nConnection: close\r\nContent-Length: {length}\r\n{headers}\r\n{body}");
    stream.write_all(text.as_bytes()).await.unwrap();
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).await.unwrap();
    let answer = String::from_utf8_lossy(&answer).into_owned();
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    let status = head.split(' ').nth(1).unwrap().parse().unwrap();
    Answer { status, head: head.into(), body: body.into() }
}

const LOCAL: &str = "Host: localhost\r\n";

async fn get(at: SocketAddr, path: &str) -> Answer {
    send(at, &format!("GET {path}"), LOCAL, "").await
}

/// Runs a story against the door on a free port.
fn story<F: Future<Output = ()>>(config: Config, tell: impl FnOnce(World, SocketAddr) -> F) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let world = World::new();
        let mut site = Site::new(Limits::default(), world.clock.clone());
        let http = Http { listen: vec![SocketAddr::from(([127, 0, 0, 1], 0))], ..Http::default() };
        site.listen_http(&http).unwrap();
        Admin::new(config, world.api.clone()).open(&mut site).unwrap();
        let open = site.start().unwrap();
        let at = open.bound()["http"][0];
        tell(world, at).await;
        open.drain(Duration::from_secs(1)).await;
    });
}

#[test]
fn the_console_comes_with_its_type_its_tag_and_a_strict_policy() {
    story(Config::default(), |_world, at| async move {
        let page = get(at, "/").await;
        assert_eq!((page.status, page.header("content-type")), (200, Some("text/html; charset=utf-8")));
        let policy = page.header("content-security-policy").unwrap();
        assert!(policy.starts_with("default-src 'self';") && !policy.contains("unsafe"), "{policy}");
        assert!(policy.contains("ws://localhost"));
        assert_eq!(page.header("x-content-type-options"), Some("nosniff"));
        assert!(page.body.contains("/console/main.js"));
        let script = get(at, "/console/main.js").await;
        assert_eq!(
            (script.status, script.header("content-type")),
            (200, Some("text/javascript; charset=utf-8"))
        );
        let sdk = get(at, "/sdk/yizhan.js").await;
        assert_eq!((sdk.status, sdk.header("access-control-allow-origin")), (200, Some("*")));
        if let Some(tag) = sdk.header("etag") {
            let again = send(at, "GET /sdk/yizhan.js", &format!("{LOCAL}If-None-Match: {tag}\r\n"), "").await;
            assert_eq!((again.status, again.body.as_str()), (304, ""));
        }
    });
}

#[test]
fn no_path_leads_out_of_the_list() {
    story(Config::default(), |_world, at| async move {
        for path in [
            "/console/../Cargo.toml",
            "/console/..%2f..%2fCargo.toml",
            "/console/%2e%2e/src/lib.rs",
            "/console//etc/passwd",
            "/console/main.js%00",
            "/console/tsconfig.json",
            "/console/",
            "/sdk/../console/main.js",
            "/sdk/package.json",
            "/console/main.js/",
        ] {
            let answer = get(at, path).await;
            assert!(matches!(answer.status, 400 | 404), "{path}: {}", answer.status);
            assert!(!answer.body.contains("[package]") && !answer.body.contains("root:"), "{path}");
        }
    });
}

#[test]
fn health_follows_the_server() {
    story(Config::default(), |world, at| async move {
        assert_eq!(get(at, "/healthz").await.status, 503);
        assert_eq!(get(at, "/readyz").await.body, "starting\n");
        world.switches.listening.store(true, SeqCst);
        assert_eq!(get(at, "/healthz").await.status, 200);
        assert_eq!(get(at, "/readyz").await.body, "ready\n");
        world.switches.full.store(true, SeqCst);
        let full = get(at, "/readyz").await;
        assert_eq!((full.status, full.body.as_str()), (503, "the disk is full\n"));
        world.switches.draining.store(true, SeqCst);
        assert_eq!(get(at, "/readyz").await.body, "draining\n");
        assert_eq!(get(at, "/healthz").await.status, 200);
    });
}

#[test]
fn metrics_are_for_this_machine_and_for_operators() {
    story(Config::default(), |world, at| async move {
        assert_eq!(get(at, "/metrics").await.body, "yizhan_up 1\n");
        let status = async |headers: String| send(at, "GET /metrics", &headers, "").await.status;
        assert_eq!(status(format!("{LOCAL}X-Forwarded-For: 10.0.0.1\r\n")).await, 401, "behind a proxy");
        assert_eq!(status("Host: evil.example.org\r\n".into()).await, 401, "a page that renamed itself");
        let owner = world.owner();
        let user = world.user(&owner, "ann", "user");
        let by = |token: &str| format!("Host: x.example.org\r\nAuthorization: Bearer {token}\r\n");
        assert_eq!(status(by(&owner)).await, 200);
        assert_eq!(status(by(&user)).await, 403);
        assert_eq!(status(by("wrong")).await, 401);
    });
    story(Config { metrics_public: true, ..Config::default() }, |_world, at| async move {
        assert_eq!(send(at, "GET /metrics", "Host: x.example.org\r\n", "").await.status, 200);
    });
}

#[test]
fn the_api_speaks_http() {
    story(Config::default(), |world, at| async move {
        let owner = world.owner();
        let json = format!("{LOCAL}Content-Type: application/json; charset=utf-8\r\n");
        let login = r#"{"user":"own","password":"own's secret"}"#;
        let answer = send(at, "POST /api/v1/login", &json, login).await;
        assert_eq!((answer.status, answer.header("cache-control")), (200, Some("no-store")));
        let plain = send(at, "POST /api/v1/login", LOCAL, login).await;
        assert_eq!(plain.status, 400, "a form of another site can't send JSON");
        let huge = send(at, "POST /api/v1/login", &json, &"x".repeat(70_000)).await;
        assert_eq!(huge.status, 413);
        let bare = get(at, "/api/v1/me").await;
        assert_eq!((bare.status, bare.header("www-authenticate")), (401, Some("Bearer")));
        let cookie = send(at, "GET /api/v1/me", &format!("{LOCAL}Cookie: token={owner}\r\n"), "").await;
        assert_eq!(cookie.status, 401, "cookies do not count");
        let bearer = format!("{LOCAL}Authorization: bearer {owner}\r\n");
        assert_eq!(send(at, "GET /api/v1/me", &bearer, "").await.status, 200);
        let both = format!("{json}Authorization: Bearer {owner}\r\n");
        assert_eq!(send(at, "POST /api/v1/accounts", &both, r#"{"user":"小明"}"#).await.status, 201);
        let gone = send(at, "DELETE /api/v1/accounts/%E5%B0%8F%E6%98%8E", &bearer, "").await;
        assert_eq!((gone.status, gone.body.as_str()), (204, ""));
        assert_eq!(get(at, "/api/v1/nothing").await.status, 404);
        assert_eq!(send(at, "PUT /api/v1/accounts", &bearer, "").await.status, 405);
    });
}

#[test]
fn the_console_can_be_left_out() {
    story(Config { console: false, ..Config::default() }, |_world, at| async move {
        assert_eq!(get(at, "/").await.status, 404);
        assert_eq!(get(at, "/console/main.js").await.status, 404);
        assert_eq!(get(at, "/sdk/yizhan.js").await.status, 200);
    });
}
