//! Every Cargo feature is documented where developers look for it, and every fuzz entry has its target.

use crate::tree::{Findings, Tree};

const PAGE: &str = "docs/reference/features.md";

pub(crate) fn check(tree: &Tree, findings: &mut Findings) {
    let page = tree.find(PAGE).map_or("", |file| file.text.as_str());
    for package in tree.packages(true) {
        let (name, folder) = (package["name"].as_str().unwrap_or_default(), tree.folder(package));
        for (feature, _) in package["features"].as_object().into_iter().flatten() {
            if feature != "default" && !page.contains(&format!("`{name}/{feature}`")) {
                let what = format!("the feature {feature} is not in {PAGE}: write `{name}/{feature}` there");
                findings.wrong(&format!("{folder}/Cargo.toml"), 0, what);
            }
        }
    }
    fuzz_entries(tree, findings);
}

/// `pub fn fuzz_frames` in engines/net, or `pub fn frames` in its `fuzz.rs`, is the target `net_frames`, for
/// cargo-fuzz and in fuzz/smoke.
fn fuzz_entries(tree: &Tree, findings: &mut Findings) {
    let smoke = tree.find("fuzz/smoke/tests/smoke.rs").map_or("", |file| file.text.as_str());
    for file in tree.with_extension("rs") {
        let mut folders = file.path.split('/').skip(1);
        let (Some(name), Some("src")) = (folders.next(), folders.next()) else { continue };
        for (number, line) in file.text.lines().enumerate() {
            let Some(entry) = line.strip_prefix("pub fn ") else { continue };
            let entry = match entry.strip_prefix("fuzz_") {
                Some(entry) => entry,
                None if file.path.ends_with("/src/fuzz.rs") => entry,
                None => continue,
            };
            let target = format!("{name}_{}", entry.split('(').next().unwrap_or_default());
            let there = tree.find(&format!("fuzz/fuzz_targets/{target}.rs")).is_some();
            if !there || !smoke.contains(&format!("fn {target}()")) {
                let what = format!("the fuzz target {target} is missing in fuzz/fuzz_targets or fuzz/smoke");
                findings.wrong(&file.path, number + 1, what);
            }
        }
    }
}
