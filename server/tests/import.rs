//! Users of mosquitto come with their passwords: `yizhan import mosquitto` against a running server.

use std::{
    fs::File,
    io::{Read, Write},
    net::TcpStream,
    path::{Path, PathBuf},
    process::{Child, Command, Output, Stdio},
    time::{Duration, Instant},
};

use serde_json::{Value, json};

/// How long a test waits for something that must happen.
const PATIENCE: Duration = Duration::from_secs(60);

/// Made with `mosquitto_passwd` 2.0.11, the second with `-H sha512`. Both passwords are `correct horse`.
const PASSWORDS: &str = "seven:$7$101$KKZ9R1TjYdSVBopU$jJ8Au+SEwBn1Qkf/WkBsQFEGrDgblNV1KHROJXCK2C3hqGQ7N9/NBzcTJifbkcEl90UHSkOdbLpBVvBpz/8iBQ==
six:$6$Cpmfqr92lWPJhsRv$z2nGZ8OUDhC0rfmRcIGftLYY1T09mMoJFtr1JlfFKI2dxulbTT8NOsPT/PxphlohQ+2yXwnW0kcptB/nTZp8PA==
plain:secret
a/b:$7$101$AAAA$AAAA
";
const ACL: &str = "topic read public/#
user seven
topic home/seven/#
topic deny home/seven/diary
pattern write devices/%c/up
pattern read x-%u/y
";

/// A running server in a folder of its own; killed when dropped.
struct Server {
    child: Child,
    folder: tempfile::TempDir,
}

impl Server {
    fn start() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let log = File::create(folder.path().join("log")).unwrap();
        let child = Command::new(env!("CARGO_BIN_EXE_yizhan"))
            .args(["serve", "--set", "http.listen=127.0.0.1:0", "--set", "socket.tcp.listen=[]"])
            .args(["--set", "mqtt.tcp.listen=[]", "--set", "rtmp.tcp.listen=[]", "--data"])
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

    fn file(&self, name: &str, text: &str) -> PathBuf {
        let path = self.folder.path().join(name);
        std::fs::write(&path, text).unwrap();
        path
    }

    fn data(&self) -> PathBuf {
        self.folder.path().join("data")
    }

    fn log(&self) -> String {
        std::fs::read_to_string(self.folder.path().join("log")).unwrap_or_default()
    }

    fn run_file(&self) -> Option<Value> {
        serde_json::from_slice(&std::fs::read(self.data().join("run.json")).ok()?).ok()
    }

    fn import(&self, arguments: &[&str], files: &[(&str, &Path)]) -> Output {
        let mut command = Command::new(env!("CARGO_BIN_EXE_yizhan"));
        command.args(["import", "mosquitto"]).args(arguments).env_clear().env("YIZHAN_DATA", self.data());
        for (flag, file) in files {
            command.arg(flag).arg(file);
        }
        command.stdin(Stdio::null()).output().unwrap()
    }

    /// The status with which a sign-in is answered.
    fn login(&self, user: &str, password: &str) -> u16 {
        let address = self.run_file().unwrap()["doors"]["http"][0].as_str().unwrap().to_owned();
        let mut stream = TcpStream::connect(&address).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        let body = json!({"user": user, "password": password}).to_string();
        write!(
            stream,
            "POST /api/v1/login HTTP/1.1\r\nhost: {address}\r\ncontent-type: application/json\r\n\
             content-length: {}\r\nconnection: close\r\n\r\n{body}",
            body.len()
        )
        .unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        answer.split(' ').nth(1).unwrap().parse().unwrap()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // It may be gone already.
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

fn printed(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

#[test]
fn users_of_mosquitto_sign_in_with_the_passwords_they_had() {
    let server = Server::start();
    let passwords = server.file("passwords", PASSWORDS);
    let dry = server.import(&["--dry-run"], &[("--passwords", &passwords)]);
    assert_eq!(printed(&dry.stdout), "2 accounts would be made\n");
    assert_eq!(server.login("seven", "correct horse"), 401, "nothing was done");

    let first = server.import(&[], &[("--passwords", &passwords)]);
    assert_eq!(printed(&first.stdout), "2 accounts were made, 0 were there already and stay as they are\n");
    let said = printed(&first.stderr);
    assert!(said.contains("passwords:3: left out") && said.contains("passwords:4: left out"), "{said}");
    assert!(said.contains("2 lines were left out") && !said.contains("secret") && !first.status.success());
    for user in ["seven", "six"] {
        assert_eq!(server.login(user, "correct hors"), 401, "{user}");
        assert_eq!(server.login(user, "correct horse"), 200, "{user}");
        assert_eq!(server.login(user, "correct horse"), 200, "{user}, with the hash that replaced it");
    }
    let again = server.import(&[], &[("--passwords", &passwords)]);
    assert!(printed(&again.stdout).starts_with("0 accounts were made, 2 were there"), "{again:?}");
}

#[test]
fn an_acl_file_becomes_rules_and_never_fewer_denials() {
    let server = Server::start();
    let acl = server.file("acl", ACL);
    let to = server.folder.path().join("rules.toml");
    let written = server.import(&[], &[("--acl", &acl), ("--rules", &to)]);
    assert!(printed(&written.stderr).contains("acl:6: left out"), "{written:?}");
    let rules: Value = toml::from_str(&std::fs::read_to_string(&to).unwrap()).unwrap();
    assert_eq!(rules["identity"]["rules"].as_array().unwrap().len(), 4, "{rules}");
    let again = server.import(&[], &[("--acl", &acl), ("--rules", &to)]);
    assert!(printed(&again.stderr).contains("cannot write") && !again.status.success(), "{again:?}");

    let worse = server.file("worse", &format!("{ACL}pattern deny y-%u/z\n"));
    let refused = server.import(&[], &[("--acl", &worse)]);
    assert!(refused.stdout.is_empty() && !refused.status.success(), "{refused:?}");
    assert!(printed(&refused.stderr).contains("would allow too much"), "{refused:?}");
}

#[test]
fn without_files_or_a_server_the_import_says_so() {
    let server = Server::start();
    assert_eq!(server.import(&[], &[]).status.code(), Some(2));
    let missing = server.import(&[], &[("--passwords", Path::new("/nowhere/passwords"))]);
    assert!(printed(&missing.stderr).contains("cannot read /nowhere/passwords"), "{missing:?}");
    let passwords = server.file("passwords", PASSWORDS);
    let elsewhere = server.import(&["--server", "http://127.0.0.1:1"], &[("--passwords", &passwords)]);
    assert!(printed(&elsewhere.stderr).contains("no server answers"), "{elsewhere:?}");
    let nobody = server.import(&["--token", "yz_wrong"], &[("--passwords", &passwords)]);
    assert!(printed(&nobody.stderr).contains("refused (201)"), "{nobody:?}");
}
