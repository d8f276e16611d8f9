//! Media servers under test: ours and its peers, each started for one measurement and ended by pid.

use std::{
    fs::File,
    net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use anyhow::{Context, Result, bail};
use rustix::process::{Pid, Signal, kill_process};

use super::{How, crowd::Target};
use crate::process::{binary, scratch};

/// How long a server may take until it answers, and until it ends when it is asked to.
const WITHIN: Duration = Duration::from_secs(20);
/// Where Debian has nginx-rtmp.
const NGINX_RTMP: &str = "/usr/lib/nginx/modules/ngx_rtmp_module.so";
/// What is published.
pub(super) const NAME: &str = "bench";

/// Who is measured.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Who {
    Yizhan,
    Nginx,
    Node,
}

/// A server that runs; ended when dropped.
pub(super) struct Server {
    pub(super) who: Who,
    child: Child,
    pub(super) rtmp: SocketAddr,
    pub(super) http: SocketAddr,
    /// Keeps its folder until the process is gone.
    folder: tempfile::TempDir,
}

impl Who {
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Yizhan => "yizhan",
            Self::Nginx => "nginx-rtmp",
            Self::Node => "node-media-server",
        }
    }

    /// Starts it on free ports, with a folder of its own.
    ///
    /// # Errors
    /// It is not on this machine (how to get it), or it does not start (what it said).
    pub(super) fn start(self) -> Result<Server> {
        let folder = tempfile::Builder::new().prefix("live-").tempdir_in(scratch())?;
        let (rtmp, http) = free_ports()?;
        let (rtmp, http) = (local(rtmp), local(http));
        let command = match self {
            Self::Yizhan => yizhan(folder.path(), rtmp, http)?,
            Self::Nginx => nginx(folder.path(), rtmp, http)?,
            Self::Node => node(folder.path(), rtmp, http)?,
        };
        self.ready(command, folder, rtmp, http)
    }

    fn ready(
        self,
        mut command: Command,
        folder: tempfile::TempDir,
        rtmp: SocketAddr,
        http: SocketAddr,
    ) -> Result<Server> {
        let said = folder.path().join("said");
        let child = command
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(File::create(&said)?)
            .spawn()
            .with_context(|| format!("{} does not start", self.name()))?;
        let mut server = Server { who: self, child, rtmp, http, folder };
        let by = Instant::now() + WITHIN;
        loop {
            if let Some(status) = server.child.try_wait()? {
                let text = std::fs::read_to_string(&said).unwrap_or_default();
                let told = |l: &&str| l.contains("rror") || l.contains("panicked") || l.contains("[emerg]");
                let why =
                    text.lines().find(told).or_else(|| text.lines().last()).unwrap_or("it said nothing");
                bail!("{} ended with {status}: {why}", self.name());
            }
            if [rtmp, http].iter().all(|at| TcpStream::connect(at).is_ok()) {
                return Ok(server);
            }
            if Instant::now() > by {
                bail!("{} did not listen within {} s", self.name(), WITHIN.as_secs());
            }
            std::thread::sleep(Duration::from_millis(10));
        }
    }
}

impl Server {
    /// What an RTMP viewer of the broadcast asks for.
    pub(super) fn rtmp_target(&self) -> Target {
        Target::Rtmp { server: self.rtmp, app: "live", name: NAME }
    }

    /// What an HTTP-FLV viewer of the broadcast asks for.
    pub(super) fn flv_target(&self) -> Target {
        Target::Flv { server: self.http, path: format!("/live/{NAME}.flv") }
    }

    /// Where a player of HLS begins.
    pub(super) fn playlist(&self, how: How) -> String {
        match (self.who, how) {
            (Who::Nginx, _) => format!("/hls/{NAME}.m3u8"),
            (_, How::Segments) => format!("/live/{NAME}.ts.m3u8"),
            _ => format!("/live/{NAME}.m3u8"),
        }
    }

    /// Where files lie that it serves under `/`, where it does (nginx).
    pub(super) fn files(&self) -> PathBuf {
        self.folder.path().join("files")
    }

    /// User and system time so far, of it and its workers.
    pub(super) fn cpu(&self) -> Result<Duration> {
        let mut ticks = 0;
        for pid in self.pids()? {
            let stat = std::fs::read_to_string(format!("/proc/{pid}/stat"))?;
            // Behind the name, which may hold anything: utime and stime are fields 14 and 15, in 1/100 s.
            let fields: Vec<&str> = stat.rsplit(')').next().unwrap_or("").split_whitespace().collect();
            ticks += fields[11].parse::<u64>()? + fields[12].parse::<u64>()?;
        }
        Ok(Duration::from_millis(ticks * 10))
    }

    /// Memory of it and its workers, bytes; what they share is counted once (PSS).
    pub(super) fn memory(&self) -> Result<u64> {
        let mut sum = 0;
        for pid in self.pids()? {
            let rollup = std::fs::read_to_string(format!("/proc/{pid}/smaps_rollup"))?;
            let line = rollup.lines().find(|l| l.starts_with("Pss:")).context("a line about Pss")?;
            sum += line.split_whitespace().nth(1).context("a number")?.parse::<u64>()? * 1024;
        }
        Ok(sum)
    }

    fn pids(&self) -> Result<Vec<u32>> {
        let parent = self.child.id();
        let children = std::fs::read_to_string(format!("/proc/{parent}/task/{parent}/children"))?;
        let mut pids = vec![parent];
        for child in children.split_whitespace() {
            pids.push(child.parse()?);
        }
        Ok(pids)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // Asked, not killed: nginx's workers would go on without it.
        let asked = kill_process(Pid::from_child(&self.child), Signal::TERM).is_ok();
        let by = Instant::now() + WITHIN;
        while asked && Instant::now() < by {
            if !matches!(self.child.try_wait(), Ok(None)) {
                return;
            }
            std::thread::sleep(Duration::from_millis(10));
        }
        // Fails only where it has ended already.
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

/// Our own server: everything open to everybody, as `--dev` has it, and no limit for one address.
fn yizhan(folder: &Path, rtmp: SocketAddr, http: SocketAddr) -> Result<Command> {
    let mut command = Command::new(binary()?);
    command.arg("serve").arg("--dev").arg("--data").arg(folder.join("data"));
    for setting in [
        format!("rtmp.tcp={rtmp}"),
        format!("http.listen={http}"),
        "socket.tcp=127.0.0.1:0".to_owned(),
        "mqtt.tcp=127.0.0.1:0".to_owned(),
        "limits.address_connections_max=1000000".to_owned(),
        "limits.address_rate_max=1000000".to_owned(),
        "live.access.address_viewers_max=0".to_owned(),
    ] {
        command.arg("--set").arg(setting);
    }
    Ok(command)
}

fn nginx(folder: &Path, rtmp: SocketAddr, http: SocketAddr) -> Result<Command> {
    let program = Path::new("/usr/sbin/nginx");
    if !program.exists() || !Path::new(NGINX_RTMP).exists() {
        bail!("nginx-rtmp is not installed (apt-get install nginx libnginx-mod-rtmp)");
    }
    std::fs::create_dir_all(folder.join("files/hls"))?;
    let template = include_str!("../../peers/live/nginx.conf").replace("{MODULE}", NGINX_RTMP);
    let config = configure(folder, "nginx.conf", &template, rtmp, http)?;
    let mut command = Command::new(program);
    command.arg("-p").arg(folder).arg("-c").arg(config).arg("-e").arg(folder.join("error.log"));
    Ok(command)
}

fn node(folder: &Path, rtmp: SocketAddr, http: SocketAddr) -> Result<Command> {
    let peers = Path::new(env!("CARGO_MANIFEST_DIR")).join("peers");
    let program = peers.join("node_modules/node-media-server/bin/app.js");
    if !program.exists() {
        bail!("node-media-server is not installed: run `npm ci` in {}", peers.display());
    }
    let template = include_str!("../../peers/live/node-media-server.json");
    let config = configure(folder, "config.json", template, rtmp, http)?;
    let mut command = Command::new("node");
    command.arg(program).arg("-c").arg(config).arg("--no-admin");
    Ok(command)
}

/// Writes a peer's config.
fn configure(
    folder: &Path,
    file: &str,
    template: &str,
    rtmp: SocketAddr,
    http: SocketAddr,
) -> Result<PathBuf> {
    let text = template
        .replace("{RTMP_PORT}", &rtmp.port().to_string())
        .replace("{HTTP_PORT}", &http.port().to_string())
        .replace("{FOLDER}", &folder.display().to_string());
    let path = folder.join(file);
    std::fs::write(&path, text)?;
    Ok(path)
}

/// Two ports that are free: both are held until both are known, so that they differ.
fn free_ports() -> Result<(u16, u16)> {
    let (one, other) = (TcpListener::bind("127.0.0.1:0")?, TcpListener::bind("127.0.0.1:0")?);
    Ok((one.local_addr()?.port(), other.local_addr()?.port()))
}

fn local(port: u16) -> SocketAddr {
    (Ipv4Addr::LOCALHOST, port).into()
}
