//! Servers under test: started, measured from `/proc`, ended by pid.

use std::{
    net::SocketAddr,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use anyhow::{Context, Result, bail};

/// A server under test; killed when dropped.
pub(crate) struct Process {
    child: Child,
    /// Where its WebSocket clients connect.
    pub(crate) address: SocketAddr,
    /// The path of its WebSocket.
    pub(crate) path: &'static str,
    /// Keeps the data folder until the process is gone.
    _data: Option<tempfile::TempDir>,
}

impl Process {
    /// Our own server over a folder of its own, and how long it took until it was healthy.
    pub(crate) async fn yizhan() -> Result<Self> {
        let data = tempfile::tempdir_in(scratch())?;
        let mut process = Self::yizhan_over(data.path()).await?.0;
        process._data = Some(data);
        Ok(process)
    }

    /// Our own server over a given folder, and how long it took to start.
    pub(crate) async fn yizhan_over(data: &Path) -> Result<(Self, Duration)> {
        let run_file = data.join("run.json");
        if run_file.exists() {
            std::fs::remove_file(&run_file)?;
        }
        let begun = Instant::now();
        let child = Command::new(binary()?)
            .env_remove("YIZHAN_BIN")
            .args(["serve", "--dev", "--set", "http.listen=127.0.0.1:0", "--set", "socket.tcp=127.0.0.1:0"])
            .args(["--set", "mqtt.tcp=127.0.0.1:0", "--set", "rtmp.tcp=127.0.0.1:0"])
            // All clients come from one address here.
            .args([
                "--set",
                "limits.address_connections_max=1000000",
                "--set",
                "limits.address_rate_max=1000000",
            ])
            .arg("--data")
            .arg(data)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()?;
        let mut process =
            Self { child, address: ([127, 0, 0, 1], 0).into(), path: "/v1/socket", _data: None };
        loop {
            if let Some(status) = process.child.try_wait()? {
                bail!("yizhan ended with {status}: start it by hand to see why");
            }
            let run = std::fs::read(&run_file)
                .ok()
                .and_then(|t| serde_json::from_slice::<serde_json::Value>(&t).ok());
            if let Some(address) = run.as_ref().and_then(|r| r["doors"]["http"][0].as_str()) {
                process.address = address.parse()?;
                return Ok((process, begun.elapsed()));
            }
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    }

    /// The npm `ws` broadcast server.
    pub(crate) async fn node_ws() -> Result<Self> {
        let peers = Path::new(env!("CARGO_MANIFEST_DIR")).join("peers");
        if !peers.join("node_modules/ws").exists() {
            bail!("the npm peer is not installed: run `npm ci` in {}", peers.display());
        }
        let mut command = Command::new("node");
        command.arg(peers.join("broadcast.mjs"));
        Self::peer(command, "/").await
    }

    /// The bare coalescing writer: this program again.
    pub(crate) async fn bare() -> Result<Self> {
        let mut command = Command::new(std::env::current_exe()?);
        command.arg("bare");
        Self::peer(command, "/").await
    }

    /// A peer that prints its port as its first line.
    async fn peer(mut command: Command, path: &'static str) -> Result<Self> {
        use std::io::{BufRead, BufReader};
        let mut child = command.stdin(Stdio::null()).stdout(Stdio::piped()).spawn()?;
        let mut line = String::new();
        BufReader::new(child.stdout.take().context("a piped stdout")?).read_line(&mut line)?;
        let port: u16 = line.trim().parse().with_context(|| format!("the peer said '{}'", line.trim()))?;
        Ok(Self { child, address: ([127, 0, 0, 1], port).into(), path, _data: None })
    }

    /// Its process.
    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// User and system time so far.
    pub(crate) fn cpu(&self) -> Result<Duration> {
        let stat = std::fs::read_to_string(format!("/proc/{}/stat", self.child.id()))?;
        // Behind the name, which may hold anything: utime and stime are fields 14 and 15, in 1/100 s.
        let fields: Vec<&str> = stat.rsplit(')').next().unwrap_or("").split_whitespace().collect();
        let ticks: u64 = fields[11].parse::<u64>()? + fields[12].parse::<u64>()?;
        Ok(Duration::from_millis(ticks * 10))
    }

    /// Resident memory, bytes.
    pub(crate) fn resident(&self) -> Result<u64> {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.child.id()))?;
        let line = status.lines().find(|l| l.starts_with("VmRSS:")).context("a VmRSS line")?;
        Ok(line.split_whitespace().nth(1).context("a number")?.parse::<u64>()? * 1024)
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // Fails only where it has ended already.
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

/// How many descriptors this process may have at most; `./x bench` raises the soft limit to it.
pub(crate) fn descriptors() -> Result<usize> {
    let limits = std::fs::read_to_string("/proc/self/limits")?;
    let line = limits.lines().find(|l| l.starts_with("Max open files")).context("a line about open files")?;
    line.split_whitespace().nth(3).and_then(|n| n.parse().ok()).context("a soft limit")
}

/// Where folders of measured servers lie: beside the build, on a real disk and not in memory.
pub(crate) fn scratch() -> PathBuf {
    let scratch = Path::new(env!("CARGO_MANIFEST_DIR")).join("../target/bench");
    // Where it cannot be made, the temporary folder in it cannot either, and that error is shown.
    drop(std::fs::create_dir_all(&scratch));
    scratch
}

/// Our own server, as it was built.
pub(crate) fn binary() -> Result<PathBuf> {
    let beside = std::env::current_exe()?.with_file_name("yizhan");
    let path = std::env::var_os("YIZHAN_BIN").map_or(beside, PathBuf::from);
    if !path.exists() {
        bail!("{} is not there: `cargo build --release` first, or use `./x bench`", path.display());
    }
    Ok(path)
}

/// The middle one.
pub(crate) fn median(values: &mut [f64]) -> f64 {
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or(f64::NAN)
}
