//! The MQTT door against the standards, statement by statement: `tests/mqtt/conform.py` speaks to a server of its own.

use std::{
    path::{Path, PathBuf},
    process::{Command, Output, Stdio},
};

use yizhan_tests::{Server, binary};

const USER: &str = "conform";
const PASSWORD: &str = "a password for this test";

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("mqtt")
}

/// Python 3, or `None` and why nothing was tested.
fn python(script: &str) -> Option<Command> {
    let there = Command::new("python3").arg("--version").stdout(Stdio::null()).stderr(Stdio::null()).status();
    if !there.is_ok_and(|status| status.success()) {
        println!("skipped: python3 cannot be had");
        return None;
    }
    let mut command = Command::new("python3");
    command.arg(folder().join(script));
    Some(command)
}

fn succeeds(output: &Output) {
    let (said, wrong) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{said}{wrong}");
}

/// A server that anonymous clients may use, and where nobody is barred for wrong passwords.
fn start(data: &Path) -> Server {
    Server::start(data, &["--dev", "--set", "identity.attempts.free=1000"])
}

fn conform(server: &Server, arguments: &[&str]) {
    let Some(mut command) = python("conform.py") else { return };
    command.args(["--quiet", "--port", &server.address("mqtt").port().to_string()]);
    command.args(["--ws-port", &server.address("http").port().to_string()]);
    let output = command.args(arguments).output().expect("python3 was there");
    println!("{}", String::from_utf8_lossy(&output.stdout));
    succeeds(&output);
}

#[test]
fn the_server_holds_to_the_statements_of_both_standards() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    conform(&start(&folder.path().join("data")), &[]);
}

#[test]
fn the_server_holds_to_them_in_a_space_on_disk() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    conform(&start(&folder.path().join("data")), &["--root", "disk"]);
}

#[test]
fn users_prove_themselves_by_password_and_by_scram() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let data = folder.path().join("data");
    let server = start(&data);
    let password = folder.path().join("password");
    std::fs::write(&password, PASSWORD).expect("the folder is the test's own");
    let added = Command::new(binary())
        .env_remove("YIZHAN_BIN")
        .args(["account", "add", USER, "--data"])
        .arg(&data)
        .stdin(std::fs::File::open(&password).expect("it was written"))
        .output()
        .expect("the binary can be started");
    succeeds(&added);
    conform(&server, &["--user", USER, "--password", PASSWORD, "authenticating", "connecting"]);
}

#[test]
fn the_conformance_page_is_made_of_the_statements_and_the_checks() {
    let Some(mut command) = python("page.py") else { return };
    succeeds(&command.arg("--check").output().expect("python3 was there"));
}
