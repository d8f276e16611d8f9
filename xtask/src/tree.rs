//! The files of the repository, and what was found wrong in them.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use serde_json::Value;

/// The repository's root.
pub(crate) fn root() -> PathBuf {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    here.parent().unwrap_or(here).to_owned()
}

/// One text file.
pub(crate) struct File {
    /// From the root, with slashes.
    pub(crate) path: String,
    pub(crate) text: String,
}

impl File {
    pub(crate) fn has_extension(&self, extension: &str) -> bool {
        Path::new(&self.path).extension().is_some_and(|e| e == extension)
    }
}

/// All text files of the tree, and what Cargo says about the packages.
pub(crate) struct Tree {
    pub(crate) root: PathBuf,
    pub(crate) files: Vec<File>,
    pub(crate) metadata: Value,
}

/// Folders that hold what is made or fetched.
const NOT_OURS: [&str; 10] = [
    ".git",
    ".venv",
    "target",
    "node_modules",
    "book",
    "corpus",
    "artifacts",
    "yizhan-data",
    "__pycache__",
    "proptest-regressions",
];

impl Tree {
    /// Reads the tree.
    pub(crate) fn read() -> Result<Self, String> {
        let root = root();
        let mut files = Vec::new();
        gather(&root, &root, &mut files);
        files.sort_by(|a, b| a.path.cmp(&b.path));
        // A fresh machine may not have all dependencies yet; only then the network is needed.
        let metadata = ask_cargo(&root, &["--offline"]).or_else(|_| ask_cargo(&root, &[]))?;
        Ok(Self { root, files, metadata })
    }

    pub(crate) fn with_extension<'a>(&'a self, extension: &'a str) -> impl Iterator<Item = &'a File> {
        self.files.iter().filter(move |file| file.has_extension(extension))
    }

    pub(crate) fn find(&self, path: &str) -> Option<&File> {
        self.files.iter().find(|file| file.path == path)
    }

    /// The packages of `cargo metadata`; ours only, or all of them.
    pub(crate) fn packages(&self, ours: bool) -> impl Iterator<Item = &Value> {
        let packages = self.metadata["packages"].as_array().map_or(&[][..], Vec::as_slice);
        packages.iter().filter(move |package| package["source"].is_null() == ours)
    }

    /// A package's folder, from the root.
    pub(crate) fn folder(&self, package: &Value) -> String {
        let manifest = Path::new(package["manifest_path"].as_str().unwrap_or_default());
        let folder = manifest.parent().and_then(|folder| folder.strip_prefix(&self.root).ok());
        folder.map(|folder| folder.to_string_lossy().into_owned()).unwrap_or_default()
    }
}

fn ask_cargo(root: &Path, how: &[&str]) -> Result<Value, String> {
    let output = Command::new(std::env::var("CARGO").unwrap_or_else(|_| "cargo".into()))
        .args(["metadata", "--format-version", "1", "--locked", "--filter-platform", &host()?])
        .args(how)
        .current_dir(root)
        .output()
        .map_err(|error| format!("cargo metadata: {error}"))?;
    if !output.status.success() {
        return Err(format!("cargo metadata: {}", String::from_utf8_lossy(&output.stderr)));
    }
    serde_json::from_slice(&output.stdout).map_err(|error| format!("cargo metadata: {error}"))
}

/// The machine's own target: of the others, Cargo may not have the dependencies here.
fn host() -> Result<String, String> {
    let output = Command::new("rustc").arg("-vV").output().map_err(|error| format!("rustc: {error}"))?;
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let host = text.lines().find_map(|line| line.strip_prefix("host: "));
    host.map(str::to_owned).ok_or_else(|| "rustc -vV names no host".into())
}

fn gather(root: &Path, folder: &Path, into: &mut Vec<File>) {
    let Ok(entries) = fs::read_dir(folder) else { return };
    for entry in entries.flatten() {
        let (path, name) = (entry.path(), entry.file_name());
        if NOT_OURS.iter().any(|skip| name == *skip) {
            continue;
        }
        if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            gather(root, &path, into);
        } else if let Ok(text) = fs::read_to_string(&path) {
            let path = path.strip_prefix(root).unwrap_or(&path).to_string_lossy().into_owned();
            into.push(File { path, text });
        }
    }
}

/// What was found, in the order in which it was.
#[derive(Default)]
pub(crate) struct Findings {
    wrong: Vec<String>,
    doubtful: Vec<String>,
}

impl Findings {
    /// Something that must be mended.
    pub(crate) fn wrong(&mut self, place: &str, line: usize, what: impl Into<String>) {
        self.wrong.push(told(place, line, &what.into()));
    }

    /// Something that somebody should look at.
    pub(crate) fn doubtful(&mut self, place: &str, line: usize, what: impl Into<String>) {
        self.doubtful.push(told(place, line, &what.into()));
    }

    pub(crate) fn is_clean(&self) -> bool {
        self.wrong.is_empty()
    }

    pub(crate) fn print(&self) {
        for warning in &self.doubtful {
            println!("warning: {warning}");
        }
        for error in &self.wrong {
            println!("error: {error}");
        }
        println!("{} errors, {} warnings", self.wrong.len(), self.doubtful.len());
    }
}

fn told(place: &str, line: usize, what: &str) -> String {
    if line == 0 { format!("{place}: {what}") } else { format!("{place}:{line}: {what}") }
}
