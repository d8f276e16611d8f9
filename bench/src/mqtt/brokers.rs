//! MQTT brokers under test: ours and its peers, each started for one measurement and ended by pid.

use std::{
    fs::File,
    net::TcpListener,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use anyhow::{Context, Result, bail};

use crate::process::{binary, scratch};

/// How long a broker may take until it answers.
const READY_WITHIN: Duration = Duration::from_secs(20);
/// The version that `--install-rumqttd` builds.
const RUMQTTD_VERSION: &str = "0.20.0";

/// Who is measured.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Broker {
    Yizhan,
    Mosquitto,
    Nats,
    Rumqttd,
}

pub(super) const ALL: [Broker; 4] = [Broker::Yizhan, Broker::Mosquitto, Broker::Nats, Broker::Rumqttd];

/// A broker that runs; killed when dropped.
pub(super) struct Running {
    child: Child,
    pub(super) port: u16,
    /// Keeps its folder until the process is gone.
    folder: tempfile::TempDir,
}

impl Broker {
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Yizhan => "yizhan",
            Self::Mosquitto => "mosquitto",
            Self::Nats => "nats-server",
            Self::Rumqttd => "rumqttd",
        }
    }

    /// Its name and version, as it says itself.
    ///
    /// # Errors
    /// It is not on this machine: how to get it.
    pub(super) fn version(self) -> Result<String> {
        let (program, argument) = match self {
            Self::Yizhan => (binary()?, "--version"),
            Self::Mosquitto => (found("mosquitto", "apt-get install mosquitto")?, "-h"),
            Self::Nats => (found("nats-server", "apt-get install nats-server")?, "--version"),
            Self::Rumqttd => return rumqttd().map(|_| format!("rumqttd {RUMQTTD_VERSION}")),
        };
        let output = Command::new(&program).arg(argument).output()?;
        let text = String::from_utf8_lossy(&output.stdout);
        Ok(text.lines().next().unwrap_or_else(|| self.name()).to_owned())
    }

    /// Starts it on a free port, with a folder of its own.
    ///
    /// # Errors
    /// It is not on this machine, or it does not start: what it said.
    pub(super) fn start(self) -> Result<Running> {
        let folder = tempfile::tempdir_in(scratch())?;
        let (command, port) = match self {
            Self::Yizhan => (yizhan(folder.path())?, 0),
            Self::Mosquitto => {
                let (config, port) =
                    configure(folder.path(), include_str!("../../peers/mqtt/mosquitto.conf"))?;
                let mut command = unlimited(&found("mosquitto", "")?);
                command.arg("-c").arg(config);
                (command, port)
            }
            Self::Nats => {
                let (config, port) = configure(folder.path(), include_str!("../../peers/mqtt/nats.conf"))?;
                let mut command = unlimited(&found("nats-server", "")?);
                command.arg("-c").arg(config);
                (command, port)
            }
            Self::Rumqttd => {
                let (config, port) = configure(folder.path(), include_str!("../../peers/mqtt/rumqttd.toml"))?;
                let mut command = unlimited(&rumqttd()?);
                command.arg("-c").arg(config);
                (command, port)
            }
        };
        self.ready(command, port, folder)
    }

    fn ready(self, mut command: Command, port: u16, folder: tempfile::TempDir) -> Result<Running> {
        let said = folder.path().join("said");
        let child = command
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(File::create(&said)?)
            .spawn()
            .with_context(|| format!("{} does not start", self.name()))?;
        let mut running = Running { child, port, folder };
        let by = Instant::now() + READY_WITHIN;
        loop {
            if let Some(status) = running.child.try_wait()? {
                let text = std::fs::read_to_string(&said).unwrap_or_default();
                let told = |l: &&str| l.contains("rror") || l.contains("panicked");
                let why =
                    text.lines().find(told).or_else(|| text.lines().last()).unwrap_or("it said nothing");
                bail!("it ended with {status}: {why}");
            }
            if self == Self::Yizhan {
                running.port = port_of(running.folder.path())?.unwrap_or(0);
            }
            if running.port != 0 && std::net::TcpStream::connect(("127.0.0.1", running.port)).is_ok() {
                return Ok(running);
            }
            if Instant::now() > by {
                bail!("it did not listen within {} s", READY_WITHIN.as_secs());
            }
            std::thread::sleep(Duration::from_millis(5));
        }
    }
}

impl Running {
    pub(super) fn pid(&self) -> u32 {
        self.child.id()
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // Fails only where it has ended already.
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

/// Our own server: everything open to everybody, as `--dev` has it, and no limit for one address.
fn yizhan(folder: &Path) -> Result<Command> {
    let mut command = Command::new(binary()?);
    command.arg("serve").arg("--dev").arg("--data").arg(folder);
    for setting in [
        "http.listen=127.0.0.1:0",
        "socket.tcp=127.0.0.1:0",
        "mqtt.tcp=127.0.0.1:0",
        "rtmp.tcp=127.0.0.1:0",
        "limits.address_connections_max=1000000",
        "limits.address_rate_max=1000000",
    ] {
        command.arg("--set").arg(setting);
    }
    Ok(command)
}

/// Where our own server says that it listens; `None` while it does not.
fn port_of(folder: &Path) -> Result<Option<u16>> {
    let Ok(text) = std::fs::read(folder.join("run.json")) else { return Ok(None) };
    let Ok(run) = serde_json::from_slice::<serde_json::Value>(&text) else { return Ok(None) };
    let address = run["doors"]["mqtt"][0].as_str().context("this server has no door for MQTT")?;
    Ok(Some(address.parse::<std::net::SocketAddr>()?.port()))
}

/// Writes a peer's config with free ports in it.
fn configure(folder: &Path, template: &str) -> Result<(PathBuf, u16)> {
    // Both are held until both are known, so that they differ.
    let (one, other) = (TcpListener::bind("127.0.0.1:0")?, TcpListener::bind("127.0.0.1:0")?);
    let port = one.local_addr()?.port();
    let text = template
        .replace("{PORT}", &port.to_string())
        .replace("{OTHER_PORT}", &other.local_addr()?.port().to_string())
        .replace("{FOLDER}", &folder.join("data").display().to_string());
    // rumqttd knows the format by the ending; the others do not mind it.
    let path = folder.join("config.toml");
    std::fs::write(&path, text)?;
    Ok((path, port))
}

/// A program with as many files as the system allows: our own server asks for them itself, the peers do not.
fn unlimited(program: &Path) -> Command {
    let mut command = Command::new("sh");
    command.args(["-c", "ulimit -n \"$(ulimit -H -n)\" && exec \"$0\" \"$@\""]).arg(program);
    command
}

/// A program of the system.
fn found(name: &str, get_it: &str) -> Result<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    // Debian has servers in a folder that only root has in its path.
    let folders = std::env::split_paths(&path).chain([PathBuf::from("/usr/sbin")]);
    let program = folders.map(|f| f.join(name)).find(|p| p.is_file());
    program.with_context(|| format!("it is not installed ({get_it})"))
}

fn rumqttd_root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../target/peers")
}

fn rumqttd() -> Result<PathBuf> {
    let program = rumqttd_root().join("bin/rumqttd");
    if !program.exists() {
        bail!("it is not built (./x bench mqtt --install-rumqttd builds it, some minutes, once)");
    }
    Ok(program)
}

/// Builds rumqttd from the Rust registry into `target/peers`.
///
/// # Errors
/// It cannot be built.
pub(super) fn install_rumqttd() -> Result<()> {
    if rumqttd().is_ok() {
        return Ok(());
    }
    // Not with its own lockfile: that has a `metrics` which a Rust of today does not build.
    let status = Command::new("cargo")
        .args(["install", "rumqttd", "--version", RUMQTTD_VERSION, "--quiet", "--root"])
        .arg(rumqttd_root())
        .status()?;
    if !status.success() {
        bail!("rumqttd cannot be built");
    }
    Ok(())
}
