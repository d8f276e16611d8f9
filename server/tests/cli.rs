//! The program from outside: it starts on free ports, its own tools speak to it, signals do what they should.

use std::{
    fs::File,
    io::Write,
    path::{Path, PathBuf},
    process::{Child, Command, ExitStatus, Output, Stdio},
    time::{Duration, Instant},
};

use serde_json::Value;

/// How long a test waits for something that must happen.
const PATIENCE: Duration = Duration::from_secs(60);

/// Requests of a trace collector that wait for the test.
const BATCHES_MAX: usize = 1000;

/// Waits until `ready` gives something.
fn eventually<T>(what: &str, mut ready: impl FnMut() -> Option<T>) -> T {
    let until = Instant::now() + PATIENCE;
    loop {
        if let Some(value) = ready() {
            return value;
        }
        assert!(Instant::now() < until, "{what} did not happen within {PATIENCE:?}");
        std::thread::sleep(Duration::from_millis(10));
    }
}

/// A running server in a folder of its own; killed when dropped.
struct Server {
    child: Child,
    folder: tempfile::TempDir,
}

impl Server {
    fn start(arguments: &[&str]) -> Self {
        Self::start_in(tempfile::tempdir().unwrap(), arguments)
    }

    fn start_in(folder: tempfile::TempDir, arguments: &[&str]) -> Self {
        let log = File::options().create(true).append(true).open(folder.path().join("log")).unwrap();
        let child = Command::new(env!("CARGO_BIN_EXE_yizhan"))
            .args(["serve", "--set", "http.listen=127.0.0.1:0", "--set", "socket.tcp=127.0.0.1:0"])
            .args(["--set", "mqtt.tcp=127.0.0.1:0", "--set", "rtmp.tcp=127.0.0.1:0", "--data"])
            .arg(folder.path().join("data"))
            .args(arguments)
            .env_clear()
            .stdin(Stdio::null())
            .stdout(log.try_clone().unwrap())
            .stderr(log)
            .spawn()
            .unwrap();
        let mut server = Self { child, folder };
        eventually("the start", || {
            if let Some(status) = server.child.try_wait().unwrap() {
                panic!("ended with {status}:\n{}", server.log());
            }
            (server.run_file()?["pid"] == server.child.id()).then_some(())
        });
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

    fn tool(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_yizhan"));
        command.args(arguments).env_clear().env("YIZHAN_DATA", self.data());
        command
    }

    fn run(&self, arguments: &[&str]) -> Output {
        self.tool(arguments).stdin(Stdio::null()).output().unwrap()
    }

    /// What a tool prints; it must do what it was asked.
    fn says(&self, arguments: &[&str]) -> String {
        let output = self.run(arguments);
        let error = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{arguments:?}: {error}\n{}", self.log());
        String::from_utf8(output.stdout).unwrap()
    }

    /// What a tool complains about; it must not do what it was asked.
    fn refuses(&self, arguments: &[&str]) -> String {
        let output = self.run(arguments);
        assert!(!output.status.success(), "{arguments:?}");
        String::from_utf8(output.stderr).unwrap()
    }

    fn feeds(&self, arguments: &[&str], input: &str) -> String {
        let mut command = self.tool(arguments);
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        child.stdin.take().unwrap().write_all(input.as_bytes()).unwrap();
        let output = child.wait_with_output().unwrap();
        assert!(output.status.success(), "{arguments:?}\n{}", self.log());
        String::from_utf8(output.stdout).unwrap()
    }

    fn signal(&self, name: &str) {
        let sent = Command::new("kill").args([format!("-{name}"), self.child.id().to_string()]).status();
        assert!(sent.unwrap().success());
    }

    fn ended(&mut self) -> ExitStatus {
        eventually("the end", || self.child.try_wait().unwrap())
    }

    /// One line of JSON for each row of an answer.
    fn rows(&self, arguments: &[&str]) -> Vec<Value> {
        let text = self.says(arguments);
        text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // Both fail only where it has ended already.
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

#[test]
fn messages_go_in_and_out_through_the_tools() {
    let server = Server::start(&["--dev"]);
    for (i, text) in ["one", "two", "three"].into_iter().enumerate() {
        let receipt: Value =
            serde_json::from_str(&server.says(&["pub", "disk/a", text, "--receipt", "--durable", "disk"]))
                .unwrap();
        assert_eq!((receipt["seq"].as_u64(), &receipt["durable"]), (Some(i as u64 + 1), &"disk".into()));
    }
    assert_eq!(server.says(&["sub", "disk/a", "--last", "2", "-n", "2", "--body"]), "two\nthree\n");
    assert_eq!(server.says(&["sub", "disk/a", "--seq", "0", "-n", "1", "--body"]), "one\n");
    let again = ["pub", "disk/a", "four", "--mid", "m-1", "--receipt"];
    let first: Value = serde_json::from_str(&server.says(&again)).unwrap();
    let second: Value = serde_json::from_str(&server.says(&again)).unwrap();
    assert_eq!((&first["seq"], &first["duplicate"]), (&4.into(), &false.into()));
    assert_eq!((&second["seq"], &second["duplicate"]), (&4.into(), &true.into()));
    server.feeds(&["pub", "--lines", "disk/b"], &(1..=500).map(|n| format!("{n}\n")).collect::<String>());
    assert_eq!(server.says(&["sub", "disk/b", "--seq", "498", "-n", "2", "--body"]), "499\n500\n");
    server.feeds(&["pub", "--json", "--key", "status", "disk/lamp", "-"], "{\"on\":true}");
    let record = &server.rows(&["sub", "disk/lamp", "--state", "-n", "1", "--json"])[0];
    assert_eq!((&record["data"]["on"], &record["key"]), (&true.into(), &"status".into()));
    assert!(server.refuses(&["pub", "live", "x", "--durable", "disk"]).contains("(312)"));
    assert!(server.refuses(&["pub", "a/#", "x"]).contains("(110)"));
    assert!(server.refuses(&["pub", "--json", "a", "{"]).contains("no JSON"));
}

#[test]
fn a_follower_hears_what_is_published_live() {
    let server = Server::start(&["--dev"]);
    let mut follower =
        server.tool(&["sub", "live/#", "-n", "1", "--json"]).stdout(Stdio::piped()).spawn().unwrap();
    eventually("the subscription", || {
        (!server.rows(&["ask", "subscriptions", "live/x", "--json"]).is_empty()).then_some(())
    });
    server.says(&["pub", "live/x", "now", "--header", "lang=en"]);
    assert!(follower.wait().unwrap().success());
    let mut text = String::new();
    std::io::Read::read_to_string(&mut follower.stdout.take().unwrap(), &mut text).unwrap();
    let record: Value = serde_json::from_str(&text).unwrap();
    assert_eq!((&record["topic"], &record["text"]), (&"live/x".into(), &"now".into()));
    assert_eq!(record["headers"]["lang"], "en");
}

#[test]
fn a_running_server_answers_questions() {
    let server = Server::start(&["--dev"]);
    server.says(&["pub", "disk/a", "x"]);
    let spaces = server.rows(&["ask", "spaces", "--json"]);
    let find = |name: &str| spaces.iter().find(|s| s["name"] == name).cloned().unwrap_or_default();
    assert_eq!((&find("all")["keep"], &find("all")["lag"]), (&"nothing".into(), &"skip".into()));
    assert_eq!((&find("disk")["keep"], &find("disk")["figures"]["records"]), (&"disk".into(), &1.into()));
    assert_eq!(server.rows(&["ask", "topics", "disk/#", "--json"])[0]["kept"]["newest_seq"], 1);
    let overview: Value = serde_json::from_str(&server.says(&["ask", "overview", "--json"])).unwrap();
    assert_eq!(overview["version"], env!("CARGO_PKG_VERSION"));
    assert!(overview["figures"]["memory_bytes"].as_u64() > Some(1 << 20), "{overview}");
    for key in ["latency", "connections", "store", "messages_in", "sessions", "uptime"] {
        assert!(!overview["figures"][key].is_null(), "{key}: {overview}");
    }
    let config: Value = serde_json::from_str(&server.says(&["ask", "config"])).unwrap();
    assert_eq!(config["identity"]["anonymous"], "open");
    assert!(server.says(&["ask", "sessions"]).starts_with("SESSION"));
    assert!(server.says(&["top", "--once"]).contains("messages out /s"));
    assert!(server.refuses(&["ask", "me", "--token", "yz_wrong"]).contains("(201)"));
}

#[test]
fn accounts_and_tokens_are_made_from_the_command_line() {
    let server = Server::start(&[]);
    assert!(server.log().contains("#link="), "{}", server.log());
    server.feeds(&["account", "add", "ann", "--role", "owner"], "a good password\n");
    server.feeds(&["account", "add", "bob"], "another password\n");
    let accounts = server.rows(&["ask", "accounts", "--json"]);
    assert_eq!(accounts.iter().map(|a| &a["user"]).collect::<Vec<_>>(), ["ann", "bob"]);
    let token = server.says(&["token", "new", "sensor", "--user", "bob", "--publish", "rooms/+"]);
    let token = token.trim();
    assert!(token.starts_with("yz_"), "{token}");
    server.says(&["pub", "rooms/a", "x", "--token", token]);
    assert!(server.refuses(&["pub", "other", "x", "--token", token]).contains("(210)"));
    let tokens = server.rows(&["ask", "tokens", "--user", "bob", "--json"]);
    server.says(&["token", "revoke", tokens[0]["id"].as_str().unwrap()]);
    assert!(server.refuses(&["pub", "rooms/a", "x", "--token", token]).contains("(201)"));
    server.says(&["account", "disable", "bob"]);
    assert!(server.says(&["account", "list"]).contains("bob   user"));
    assert!(server.says(&["account", "link", "ann"]).contains("/#link="));
    assert!(server.says(&["ask", "audit"]).contains("account.create"));
    // Without a token, a server that is not for trying things out lets nobody in.
    assert!(
        server
            .refuses(&["pub", "rooms/a", "x", "--server", "http://127.0.0.1:1", "--token", ""])
            .contains("no server")
    );
}

#[test]
fn it_drains_on_sigterm_and_finds_everything_again() {
    let mut server = Server::start(&["--dev"]);
    for n in 0..20 {
        server.says(&["pub", "disk/a", &n.to_string()]);
    }
    let token = std::fs::metadata(server.data().join("local.token")).unwrap();
    assert_eq!(std::os::unix::fs::PermissionsExt::mode(&token.permissions()) & 0o777, 0o600);
    let mut follower = server.tool(&["sub", "live"]).stderr(Stdio::piped()).spawn().unwrap();
    eventually("the subscription", || {
        (!server.rows(&["ask", "subscriptions", "live", "--json"]).is_empty()).then_some(())
    });
    server.signal("TERM");
    assert_eq!(server.ended().code(), Some(0), "{}", server.log());
    assert!(!follower.wait().unwrap().success());
    assert!(server.run_file().is_none(), "run.json is gone after a clean end");
    let folder = std::mem::replace(&mut server.folder, tempfile::tempdir().unwrap());
    let server = Server::start_in(folder, &["--dev"]);
    assert_eq!(server.says(&["sub", "disk/a", "--last", "1", "-n", "1", "--body"]), "19\n");
    assert_eq!(server.rows(&["ask", "topics", "disk/a", "--json"])[0]["kept"]["newest_seq"], 20);
}

#[test]
fn sighup_reads_the_config_again_and_a_bad_one_changes_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("y.toml");
    let anonymous = |entry: &str, more: &str| {
        std::fs::write(&file, format!("[identity]\nanonymous = '{entry}'\n{more}")).unwrap();
    };
    anonymous("open", "");
    let path = file.display().to_string();
    let server = Server::start_in(folder, &["--config", &path]);
    let publish = ["pub", "live", "x", "--token", "none"];
    let config = || serde_json::from_str::<Value>(&server.says(&["ask", "config"])).unwrap();
    assert_eq!(config()["identity"]["anonymous"], "open");
    anonymous(
        "off",
        "[log]\nlevel = 'debug'\n[http]\nbody_bytes_max = '1MiB'\n[space.rooms]\nkeep = 'disk'\n",
    );
    server.signal("HUP");
    eventually("the reload", || (config()["identity"]["anonymous"] == "off").then_some(()));
    assert_eq!(config()["log"]["level"], "debug");
    assert_eq!(config()["http"]["body_bytes_max"], 8 << 20, "that needs a restart");
    for section in ["http", "space"] {
        assert!(server.log().contains(&format!("\"section\":\"{section}\"")), "{}", server.log());
    }
    assert!(server.refuses(&publish).contains("refused"));
    anonymous("open", "[htttp]\n");
    server.signal("HUP");
    eventually("the complaint", || server.log().contains("did you mean 'http'?").then_some(()));
    assert_eq!(config()["identity"]["anonymous"], "off");
}

#[test]
fn a_backup_of_a_running_server_becomes_a_server_again() {
    let mut server = Server::start(&["--dev"]);
    server.feeds(&["pub", "--lines", "disk/a"], &(1..=100).map(|n| format!("{n}\n")).collect::<String>());
    server.feeds(&["account", "add", "ann", "--role", "owner"], "a good password\n");
    let folder = tempfile::tempdir().unwrap();
    let backup = folder.path().join("backup").display().to_string();
    assert!(server.says(&["backup", &backup]).starts_with("backed up to "));
    assert!(server.refuses(&["backup", &backup]).contains("is not empty"));
    server.says(&["pub", "disk/a", "later"]);
    assert!(server.refuses(&["store", "check"]).contains("in use by another process"));
    assert!(server.says(&["store", "verify", &backup]).contains("as it was written"));
    let restored = Server::start_in(
        {
            let folder = tempfile::tempdir().unwrap();
            let data = folder.path().join("data").display().to_string();
            server.says(&["restore", &backup, "--data", &data]);
            assert!(server.refuses(&["restore", &backup, "--data", &data]).contains("is not empty"));
            folder
        },
        &["--dev"],
    );
    assert_eq!(restored.says(&["sub", "disk/a", "--last", "1", "-n", "1", "--body"]), "100\n");
    assert_eq!(restored.rows(&["ask", "accounts", "--json"])[0]["user"], "ann");
    // Without a server the folder is backed up and checked by the tool itself.
    server.signal("TERM");
    assert!(server.ended().success());
    let offline = folder.path().join("offline").display().to_string();
    assert!(server.says(&["backup", &offline]).contains("backed up"));
    assert!(server.says(&["store", "repair", "--accept-loss"]).contains("nothing was changed"));
    let second = folder.path().join("second").display().to_string();
    server.says(&["restore", &offline, "--data", &second]);
    let report = server.says(&["store", "check", "--data", &second]);
    assert!(report.contains("space disk: 101 records of 1 topics"), "{report}");
    let report = server.says(&["store", "check"]);
    assert!(report.contains("space disk: 101 records of 1 topics") && report.contains("sound"), "{report}");
}

#[test]
fn a_second_server_on_the_same_folder_is_refused() {
    let server = Server::start(&["--dev"]);
    let output = server.run(&[
        "serve",
        "--dev",
        "--set",
        "http.listen=127.0.0.1:0",
        "--set",
        "socket.tcp=127.0.0.1:0",
        "--set",
        "mqtt.tcp=127.0.0.1:0",
        "--set",
        "rtmp.tcp=127.0.0.1:0",
    ]);
    assert_eq!(output.status.code(), Some(1));
    let error = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(error.contains("in use by another process"), "{error}");
    server.says(&["ask", "me"]);
}

/// `docs/operations/observability.md` and the exposition have the same metrics.
#[test]
fn every_metric_is_documented_and_every_documented_metric_is_there() {
    let server = Server::start(&["--dev", "--set", "trace.otlp=http://127.0.0.1:1"]);
    let base = server.run_file().unwrap()["doors"]["http"][0].as_str().unwrap().to_owned();
    server.says(&["pub", "disk/a", "x"]);
    // A connection that has ended: one of the metrics is only there then.
    let mut client =
        std::net::TcpStream::connect(server.run_file().unwrap()["doors"]["tcp"][0].as_str().unwrap())
            .unwrap();
    client.write_all(b"{\"type\":\"bye\",\"id\":1}\n").unwrap();
    std::io::Read::read_to_end(&mut client, &mut Vec::new()).unwrap();
    let page = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/operations/observability.md");
    let page = std::fs::read_to_string(page).unwrap();
    let documented: std::collections::BTreeSet<String> = page
        .lines()
        .filter_map(|line| line.strip_prefix("| `yizhan_")?.split('`').next())
        .map(|name| format!("yizhan_{name}"))
        .collect();
    assert!(documented.len() > 30);
    eventually("all documented metrics", || {
        let text = get(&base, "/metrics");
        let exposed: std::collections::BTreeSet<String> = text
            .lines()
            .filter_map(|line| line.strip_prefix("# TYPE ")?.split(' ').next())
            .map(str::to_owned)
            .collect();
        assert!(exposed.is_subset(&documented), "not documented: {:?}", exposed.difference(&documented));
        exposed.is_superset(&documented).then_some(())
    });
}

/// A collector that takes OTLP over HTTP, one connection after the other; gives the spans of each request.
fn collector() -> (String, std::sync::mpsc::Receiver<Vec<Value>>) {
    use std::io::{BufRead, BufReader, Read};
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let (told, spans) = std::sync::mpsc::sync_channel(BATCHES_MAX);
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = BufReader::new(stream.unwrap());
            loop {
                let (mut line, mut length) = (String::new(), 0);
                while stream.read_line(&mut line).is_ok_and(|n| n > 2) {
                    if let Some(n) = line.to_ascii_lowercase().strip_prefix("content-length: ") {
                        length = n.trim().parse().unwrap();
                    }
                    line.clear();
                }
                let mut body = vec![0; length];
                if length == 0 || stream.read_exact(&mut body).is_err() {
                    break;
                }
                let body: Value = serde_json::from_slice(&body).unwrap();
                stream.get_mut().write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n{}").unwrap();
                let scope = &body["resourceSpans"][0]["scopeSpans"][0];
                if told.send(scope["spans"].as_array().unwrap().clone()).is_err() {
                    return;
                }
            }
        }
    });
    (url, spans)
}

#[test]
fn a_publish_is_a_trace_from_the_request_to_the_commit() {
    let (url, told) = collector();
    let server = Server::start(&["--dev", "--set", &format!("trace.otlp={url}")]);
    server.says(&["pub", "disk/traced", "x"]);
    let mut spans: Vec<Value> = Vec::new();
    let find = |spans: &[Value], name: &str, key: &str, value: &str| {
        let has = |span: &&Value| {
            let attributes = span["attributes"].as_array().unwrap().iter();
            span["name"] == name
                && attributes.into_iter().any(|a| a["key"] == key && a["value"]["stringValue"] == value)
        };
        spans.iter().find(has).cloned()
    };
    eventually("the trace", || {
        spans.extend(told.try_iter().flatten());
        let request = find(&spans, "request", "path", "/v1/publish/disk/traced")?;
        let publish = find(&spans, "publish", "topic", "disk/traced")?;
        assert_eq!(publish["traceId"], request["traceId"]);
        assert_eq!(publish["parentSpanId"], request["spanId"]);
        let number = |value: &Value| value.as_str().unwrap().parse::<u64>().unwrap();
        assert!(number(&publish["endTimeUnixNano"]) > number(&publish["startTimeUnixNano"]));
        Some(())
    });
}

fn get(address: &str, path: &str) -> String {
    let mut stream = std::net::TcpStream::connect(address).unwrap();
    write!(stream, "GET {path} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n").unwrap();
    let mut text = String::new();
    std::io::Read::read_to_string(&mut stream, &mut text).unwrap();
    text
}

#[test]
fn the_tools_speak_tls_with_a_server_of_ones_own() {
    let folder = tempfile::tempdir().unwrap();
    let made = rcgen::generate_simple_self_signed(vec!["localhost".to_owned()]).unwrap();
    let (cert, key) = (folder.path().join("cert.pem"), folder.path().join("key.pem"));
    std::fs::write(&cert, made.cert.pem()).unwrap();
    std::fs::write(&key, made.signing_key.serialize_pem()).unwrap();
    let (cert, key) = (cert.display().to_string(), key.display().to_string());
    let (with_cert, with_key) = (format!("http.tls.cert={cert}"), format!("http.tls.key={key}"));
    let server = Server::start(&["--dev", "--set", &with_cert, "--set", &with_key]);
    assert_eq!(server.run_file().unwrap()["secure"], true);
    assert!(server.refuses(&["pub", "disk/a", "x"]).contains("no server answers at https://localhost"));
    server.says(&["pub", "disk/a", "x", "--ca", &cert]);
    assert_eq!(server.says(&["sub", "disk/a", "--last", "1", "-n", "1", "--body", "--ca", &cert]), "x\n");
}

#[test]
fn a_second_signal_ends_it_at_once() {
    let mut server =
        Server::start(&["--dev", "--set", "server.drain_within=10m", "--set", "limits.close_within=10m"]);
    let address = server.run_file().unwrap()["doors"]["tcp"][0].as_str().unwrap().to_owned();
    // It never ends its side, so the drain waits for it.
    let mut client = std::net::TcpStream::connect(address).unwrap();
    client.write_all(b"{\"type\":\"ping\",\"id\":1}\n").unwrap();
    assert!(std::io::Read::read(&mut client, &mut [0; 100]).unwrap() > 0);
    server.signal("TERM");
    eventually("the drain", || server.log().contains("\"draining\"").then_some(()));
    server.signal("INT");
    assert_eq!(server.ended().code(), Some(1), "{}", server.log());
}

#[test]
fn an_address_in_use_is_said_plainly() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let folder = tempfile::tempdir().unwrap();
    let output = Command::new(env!("CARGO_BIN_EXE_yizhan"))
        .args(["serve", "--dev", "--set", &format!("http.listen={address}"), "--data"])
        .arg(folder.path().join("data"))
        .env_clear()
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(1));
    let error = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(error.contains(&address) && error.contains("http.listen"), "{error}");
}

#[test]
fn a_config_is_written_checked_and_shown() {
    let folder = tempfile::tempdir().unwrap();
    let run = |arguments: &[&str]| {
        Command::new(env!("CARGO_BIN_EXE_yizhan"))
            .args(arguments)
            .current_dir(folder.path())
            .env_clear()
            .env("YIZHAN_LOG__LEVEL", "warn")
            .output()
            .unwrap()
    };
    assert!(run(&["init"]).status.success());
    assert!(String::from_utf8_lossy(&run(&["init"]).stderr).contains("is there already"));
    assert!(run(&["config", "check", "--config", "yizhan.toml"]).status.success());
    let secret = "identity.jwt.secret=0123456789abcdef0123456789abcdef";
    let shown = run(&["config", "show", "--config", "yizhan.toml", "--set", secret]);
    let shown = String::from_utf8(shown.stdout).unwrap();
    assert!(shown.contains("level = \"warn\"") && shown.contains("secret = \"•••\""), "{shown}");
    assert!(!shown.contains("0123456789abcdef"));
    let bad = run(&["config", "check", "--set", "http.lissen=1"]);
    assert_eq!(bad.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&bad.stderr).contains("did you mean 'listen'?"));
}

#[test]
fn the_load_generator_counts_every_message() {
    let server = Server::start(&["--dev"]);
    let measure = |arguments: &[&str]| {
        let mut all = vec!["bench"];
        all.extend(arguments);
        all.extend(["--seconds", "300ms", "--warmup", "100ms", "--json"]);
        serde_json::from_str::<Value>(&server.says(&all)).unwrap()
    };
    for load in [
        &["fanout", "--subscribers", "20"][..],
        &["fanout", "--subscribers", "5", "--rate", "200", "--threads", "2"],
        &["pairs", "--pairs", "5", "--threads", "2"],
    ] {
        let report = measure(load);
        assert!(report["delivered"].as_u64() > Some(0), "{report}");
        assert_eq!((&report["lost"], &report["repeated"]), (&0.into(), &0.into()), "{report}");
        assert_eq!(report["server"]["pid"], server.child.id());
    }
    let report = measure(&["publish", "--publishers", "8", "--window", "4"]);
    assert!(
        report["published"].as_u64() > Some(0) && report["latency_us"]["p99"].as_u64() > Some(0),
        "{report}"
    );
    let report = measure(&["idle", "--connections", "50"]);
    assert_eq!(report["connections"], 50);
    assert!(server.refuses(&["bench", "fanout", "--topic", "a/+", "--subscribers", "1"]).contains("refused"));
}
