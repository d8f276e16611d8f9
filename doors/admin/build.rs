//! Writes the list of the console's files, so that they become part of the binary.

use std::{
    collections::BTreeMap,
    env,
    fmt::Write as _,
    fs,
    hash::{DefaultHasher, Hasher as _},
    io,
    path::{Path, PathBuf},
};

/// Kinds of files that the console is made of. Everything else in its folder stays out.
const TYPES: [(&str, &str); 10] = [
    ("html", "text/html; charset=utf-8"),
    ("js", "text/javascript; charset=utf-8"),
    ("ts", "text/plain; charset=utf-8"),
    ("css", "text/css; charset=utf-8"),
    ("svg", "image/svg+xml"),
    ("png", "image/png"),
    ("ico", "image/x-icon"),
    ("webmanifest", "application/manifest+json"),
    ("woff2", "font/woff2"),
    ("wasm", "application/wasm"),
];

/// Folders of tools and tests.
const LEFT_OUT: [&str; 3] = ["node_modules", "test", "tests"];

#[expect(clippy::disallowed_methods, reason = "Cargo tells build scripts by the environment")]
fn main() -> io::Result<()> {
    let here = PathBuf::from(env::var_os("CARGO_MANIFEST_DIR").ok_or(io::ErrorKind::NotFound)?);
    let out = PathBuf::from(env::var_os("OUT_DIR").ok_or(io::ErrorKind::NotFound)?);
    let mut files = BTreeMap::new();
    let console = here.join("console");
    println!("cargo::rerun-if-changed={}", console.display());
    collect(&console, "console", &mut files)?;
    let sdk = here.join("../../sdk/js").canonicalize()?;
    for name in ["yizhan.js", "yizhan.d.ts", "im.js", "im.d.ts"] {
        let file = sdk.join(name);
        println!("cargo::rerun-if-changed={}", file.display());
        if file.exists() {
            files.insert(format!("sdk/{name}"), file);
        }
    }
    println!("cargo::rerun-if-changed={}", sdk.join("im").display());
    collect(&sdk.join("im"), "sdk/im", &mut files)?;
    let mut list = String::from("static FILES: &[File] = &[\n");
    for (name, path) in &files {
        let mut hasher = DefaultHasher::new();
        hasher.write(&fs::read(path)?);
        let extension = path.extension().and_then(|e| e.to_str()).unwrap_or_default();
        let known = TYPES.iter().find(|(e, _)| *e == extension).map(|(_, kind)| *kind);
        let kind = known.unwrap_or("text/plain; charset=utf-8");
        writeln!(
            list,
            "    File {{ name: {name:?}, kind: {kind:?}, tag: \"\\\"{:016x}\\\"\", path: {path:?}, bytes: include_bytes!({path:?}) }},",
            hasher.finish(),
        )
        .map_err(io::Error::other)?;
    }
    list.push_str("];\n");
    fs::write(out.join("files.rs"), list)
}

fn collect(folder: &Path, name: &str, files: &mut BTreeMap<String, PathBuf>) -> io::Result<()> {
    if !folder.exists() {
        return Ok(());
    }
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        let (path, own) = (entry.path(), entry.file_name().to_string_lossy().into_owned());
        if own.starts_with('.') || LEFT_OUT.contains(&own.as_str()) {
            continue;
        }
        let name = format!("{name}/{own}");
        if path.is_dir() {
            collect(&path, &name, files)?;
        } else if path.extension().is_some_and(|e| TYPES.iter().any(|(known, _)| e == *known)) {
            files.insert(name, path);
        }
    }
    Ok(())
}
