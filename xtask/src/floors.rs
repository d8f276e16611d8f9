//! Which crate may stand on which: a dependency's folder must stand lower.

use std::path::Path;

use crate::tree::{Findings, Tree};

/// What a crate in the first folder may import: crates whose folder begins with one of the others.
/// The first line that fits counts.
const FLOORS: &[(&str, &[&str])] = &[
    ("core/hub", &["core/talk", "core/ring"]),
    ("core/", &[]),
    ("services/", &["core/"]),
    // It moves bytes between any connection and any backend, so it must not know the hub.
    ("engines/net", &["core/talk", "core/wire"]),
    ("engines/", &["core/"]),
    // It moves files between HTTP and where they are kept; who may have them is the service's to say.
    ("doors/chat", &["core/", "services/", "engines/net", "engines/files"]),
    ("doors/", &["core/", "services/", "engines/net"]),
    // The only crate that knows them all.
    ("server", &["core/", "services/", "engines/", "doors/"]),
    // Tests, benches and tools see the server from outside; what they borrow is said here.
    ("fuzz/smoke", &["services/", "engines/", "doors/"]),
    ("bench", &["core/", "engines/"]),
    ("tests", &["core/"]),
    ("xtask", &[]),
];

pub(crate) fn check(tree: &Tree, findings: &mut Findings) {
    for package in tree.packages(true) {
        let folder = tree.folder(package);
        let manifest = format!("{folder}/Cargo.toml");
        let Some((_, may)) = FLOORS.iter().find(|(floor, _)| folder.starts_with(floor)) else {
            findings.wrong(&manifest, 0, "this folder is on no floor: see FLOORS in xtask/src/floors.rs");
            continue;
        };
        for dependency in package["dependencies"].as_array().into_iter().flatten() {
            let Some(path) = dependency["path"].as_str() else { continue };
            let other = Path::new(path).strip_prefix(&tree.root).unwrap_or_else(|_| path.as_ref());
            let other = other.to_string_lossy();
            // A crate may name itself among its dev-dependencies to turn on a feature for its tests.
            if other != folder && !may.iter().any(|floor| other.starts_with(floor)) {
                findings.wrong(
                    &manifest,
                    0,
                    format!("{folder} must not import {other} (house rules, floors)"),
                );
            }
        }
        let lints = tree.find(&manifest).is_some_and(|file| file.text.contains("[lints]\nworkspace = true"));
        if !lints {
            findings.wrong(&manifest, 0, "does not take the workspace's lints: [lints] workspace = true");
        }
    }
}
