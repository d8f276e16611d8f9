//! Starting, killing and draining a server.

use std::{
    fs::File,
    net::SocketAddr,
    path::{Path, PathBuf},
    process::{Child, Command, ExitStatus, Stdio},
};

use serde_json::Value;

use crate::{Client, eventually};

/// The binary under test.
///
/// # Panics
/// It is not there.
#[must_use]
pub fn binary() -> PathBuf {
    let path = std::env::var_os("YIZHAN_BIN")
        .map_or_else(|| Path::new(env!("CARGO_MANIFEST_DIR")).join("../target/debug/yizhan"), PathBuf::from);
    assert!(path.exists(), "{} is not there: run `cargo build` or `./x test`", path.display());
    path
}

/// A running server; killed when dropped.
pub struct Server {
    child: Child,
    data: PathBuf,
    doors: Value,
}

impl Server {
    /// Starts `yizhan serve --dev` on free ports over a data folder and waits until it is healthy.
    #[must_use]
    pub fn dev(data: &Path) -> Self {
        Self::start(data, &["--dev"])
    }

    /// Starts `yizhan serve` with more arguments, on free ports.
    ///
    /// # Panics
    /// It did not start; its log is shown.
    #[must_use]
    pub fn start(data: &Path, arguments: &[&str]) -> Self {
        let run_file = data.join("run.json");
        // One that a killed server left would name ports that are no longer its own.
        if run_file.exists() {
            std::fs::remove_file(&run_file).expect("the data folder is the test's own");
        }
        std::fs::create_dir_all(data).expect("the data folder is the test's own");
        let log_path = data.with_extension("log");
        let log = File::options().create(true).append(true).open(&log_path).expect("a log can be written");
        let mut child = Command::new(binary())
            // For the test, not for the server.
            .env_remove("YIZHAN_BIN")
            .arg("serve")
            .arg("--data")
            .arg(data)
            .args(["--set", "http.listen=127.0.0.1:0", "--set", "socket.tcp=127.0.0.1:0"])
            .args(["--set", "mqtt.tcp=127.0.0.1:0", "--set", "rtmp.tcp=127.0.0.1:0"])
            .args(arguments)
            .stdin(Stdio::null())
            .stdout(log.try_clone().expect("a log can be written"))
            .stderr(log)
            .spawn()
            .expect("the binary can be started");
        let doors = eventually("the server's start", || {
            if let Ok(Some(status)) = child.try_wait() {
                let log = std::fs::read_to_string(&log_path).unwrap_or_default();
                panic!("the server ended with {status}:\n{log}");
            }
            let run: Value = serde_json::from_slice(&std::fs::read(&run_file).ok()?).ok()?;
            (run["pid"] == child.id()).then(|| run["doors"].clone())
        });
        Self { child, data: data.to_owned(), doors }
    }

    /// The address of a door.
    ///
    /// # Panics
    /// The server has no such door.
    #[must_use]
    pub fn address(&self, door: &str) -> SocketAddr {
        let address = self.doors[door][0].as_str().expect("the door listens");
        address.parse().expect("an address")
    }

    /// A client at the TCP door.
    #[must_use]
    pub fn client(&self) -> Client {
        Client::connect(self.address("tcp"))
    }

    /// Its process id.
    #[must_use]
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// What it logged so far, earlier runs over the same folder included.
    #[must_use]
    pub fn log(&self) -> String {
        std::fs::read_to_string(self.data.with_extension("log")).unwrap_or_default()
    }

    /// `kill -9`.
    pub fn kill(mut self) {
        self.kill_now();
    }

    fn kill_now(&mut self) {
        // Both fail only where the process has ended already.
        drop(self.child.kill());
        drop(self.child.wait());
    }

    /// Sends a signal by name (`TERM`, `HUP`).
    ///
    /// # Panics
    /// The signal could not be sent.
    pub fn signal(&self, name: &str) {
        let sent = Command::new("kill").args([format!("-{name}"), self.pid().to_string()]).status();
        assert!(sent.is_ok_and(|s| s.success()), "kill -{name}");
    }

    /// Waits for its end.
    pub fn ended(mut self) -> ExitStatus {
        eventually("the server's end", || self.child.try_wait().ok().flatten())
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.kill_now();
    }
}
