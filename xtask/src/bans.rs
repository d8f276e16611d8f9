//! Shows that each floor's clippy.toml forbids what it shall: a small crate is laid on the floor, with one
//! forbidden call after the other, and clippy must complain.

use std::{fs, path::Path, process::Command};

use crate::tree::Findings;

/// A floor, and lines that must not pass there.
const FORBIDDEN: &[(&str, &[&str])] = &[
    ("core", &[NOW, WALL, SPAWN, SLEEP, TCP, CHANNEL]),
    ("services", &[NOW, WALL, SPAWN, SLEEP, TCP, CHANNEL]),
    ("doors", &[NOW, WALL, SPAWN, SLEEP, TCP, CHANNEL]),
    ("engines", &[CHANNEL]),
];

const NOW: &str = "let _now = std::time::Instant::now();";
const WALL: &str = "let _now = std::time::SystemTime::now();";
const SPAWN: &str = "let _thread = std::thread::spawn(|| ());";
const SLEEP: &str = "std::thread::sleep(std::time::Duration::ZERO);";
const TCP: &str = "let _socket = std::net::TcpStream::connect(\"127.0.0.1:1\");";
const CHANNEL: &str = "let _channel = std::sync::mpsc::channel::<u8>();";

pub(crate) fn check(root: &Path) -> Findings {
    let mut findings = Findings::default();
    for (floor, lines) in FORBIDDEN {
        let config = format!("{floor}/clippy.toml");
        match try_floor(root, floor, lines) {
            Ok(complaints) => {
                for line in
                    lines.iter().enumerate().filter(|(i, _)| !complaints.contains(&(i + 2))).map(|(_, l)| l)
                {
                    findings.wrong(&config, 0, format!("does not forbid: {line}"));
                }
            }
            Err(problem) => findings.wrong(&config, 0, problem),
        }
    }
    findings
}

/// The numbers of the lines that clippy complained of.
fn try_floor(root: &Path, floor: &str, lines: &[&str]) -> Result<Vec<usize>, String> {
    let target = root.join("target/bans");
    let probe = target.join(floor).join("probe");
    let say = |error: std::io::Error| error.to_string();
    fs::create_dir_all(probe.join("src")).map_err(say)?;
    fs::copy(root.join(floor).join("clippy.toml"), target.join(floor).join("clippy.toml")).map_err(say)?;
    let manifest = format!("[package]\nname = \"probe-{floor}\"\nedition = \"2024\"\n[workspace]\n");
    fs::write(probe.join("Cargo.toml"), manifest).map_err(say)?;
    let source = format!("pub fn probe() {{\n{}\n}}\n", lines.join("\n"));
    fs::write(probe.join("src/lib.rs"), source).map_err(say)?;
    let output = Command::new("cargo")
        .args(["clippy", "--quiet", "--offline", "--message-format", "json", "--target-dir"])
        .arg(target.join("target"))
        .current_dir(&probe)
        .output()
        .map_err(say)?;
    let mut complaints = Vec::new();
    for line in String::from_utf8_lossy(&output.stdout).lines() {
        let Ok(told) = serde_json::from_str::<serde_json::Value>(line) else { continue };
        let code = told["message"]["code"]["code"].as_str().unwrap_or_default();
        if code == "clippy::disallowed_methods" || code == "clippy::disallowed_types" {
            let lines = told["message"]["spans"].as_array().into_iter().flatten();
            complaints.extend(lines.filter_map(|span| usize::try_from(span["line_start"].as_u64()?).ok()));
        }
    }
    if output.status.success() {
        Ok(complaints)
    } else {
        Err(String::from_utf8_lossy(&output.stderr).into_owned())
    }
}
