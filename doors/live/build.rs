//! Writes the list of the watch page's files, so that they become part of the binary: as they are and packed by gzip.
//!
//! The players of others are taken from `page/node_modules`, where `npm ci` has put them; without them the page plays
//! what the browser plays by itself.

use std::{
    collections::BTreeMap,
    env,
    fmt::Write as _,
    fs,
    hash::{DefaultHasher, Hasher as _},
    io::{self, Write as _},
    path::{Path, PathBuf},
};

use flate2::{Compression, write::GzEncoder};

/// Kinds of files that the page is made of. Everything else in its folder stays out.
const TYPES: [(&str, &str); 5] = [
    ("html", "text/html; charset=utf-8"),
    ("js", "text/javascript; charset=utf-8"),
    ("css", "text/css; charset=utf-8"),
    ("svg", "image/svg+xml"),
    ("txt", "text/plain; charset=utf-8"),
];

/// What is taken from npm's packages: under which name, and where it lies.
const PLAYERS: [(&str, &str); 5] = [
    ("vendor/hls.js", "hls.js/dist/hls.min.mjs"),
    ("vendor/hls.worker.js", "hls.js/dist/hls.worker.js"),
    ("vendor/hls.licence.txt", "hls.js/LICENSE"),
    ("vendor/mpegts.js", "mpegts.js/dist/mpegts.js"),
    ("vendor/mpegts.licence.txt", "mpegts.js/LICENSE"),
];

#[expect(clippy::disallowed_methods, reason = "Cargo tells build scripts by the environment")]
fn main() -> io::Result<()> {
    let here = PathBuf::from(env::var_os("CARGO_MANIFEST_DIR").ok_or(io::ErrorKind::NotFound)?);
    let out = PathBuf::from(env::var_os("OUT_DIR").ok_or(io::ErrorKind::NotFound)?);
    let page = here.join("page");
    // The whole folder, so that `npm ci` is noticed, too.
    println!("cargo::rerun-if-changed={}", page.display());
    println!("cargo::rerun-if-changed={}", here.join("build.rs").display());
    let mut files = BTreeMap::new();
    collect(&page, "", &mut files)?;
    for (name, place) in PLAYERS {
        let file = page.join("node_modules").join(place);
        if file.exists() {
            files.insert(name.to_owned(), file);
        }
    }
    let mut list = String::from("static FILES: &[File] = &[\n");
    for (at, (name, path)) in files.iter().enumerate() {
        let bytes = fs::read(path)?;
        let mut hasher = DefaultHasher::new();
        hasher.write(&bytes);
        let packed = out.join(format!("{at}.gz"));
        let mut packer = GzEncoder::new(Vec::new(), Compression::best());
        packer.write_all(&bytes)?;
        fs::write(&packed, packer.finish()?)?;
        let extension = name.rsplit('.').next().unwrap_or_default();
        let known = TYPES.iter().find(|(e, _)| *e == extension).map(|(_, kind)| *kind);
        writeln!(
            list,
            "    File {{ name: {name:?}, kind: {kind:?}, tag: \"\\\"{tag:016x}\\\"\", path: {path:?}, \
             bytes: include_bytes!({path:?}), packed: include_bytes!({packed:?}) }},",
            kind = known.unwrap_or("text/plain; charset=utf-8"),
            tag = hasher.finish(),
        )
        .map_err(io::Error::other)?;
    }
    list.push_str("];\n");
    fs::write(out.join("page.rs"), list)
}

fn collect(folder: &Path, before: &str, files: &mut BTreeMap<String, PathBuf>) -> io::Result<()> {
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        let (path, own) = (entry.path(), entry.file_name().to_string_lossy().into_owned());
        if own.starts_with('.') || own == "node_modules" {
            continue;
        }
        if path.is_dir() {
            collect(&path, &format!("{before}{own}/"), files)?;
        } else if path.extension().is_some_and(|e| TYPES.iter().any(|(known, _)| e == *known)) {
            files.insert(format!("{before}{own}"), path);
        }
    }
    Ok(())
}
