//! The changelog, and the fragments that it is gathered from.

use crate::tree::{Findings, Tree};

/// What a fragment's first line begins with.
const KINDS: [&str; 5] = ["Added: ", "Changed: ", "Fixed: ", "Removed: ", "Security: "];

pub(crate) fn check(tree: &Tree, findings: &mut Findings) {
    for needed in [
        "CHANGELOG.md",
        "README.md",
        "README.zh-CN.md",
        "ARCHITECTURE.md",
        "STYLE.md",
        "CONTRIBUTING.md",
        "SECURITY.md",
        "LICENSE-APACHE",
        "LICENSE-MIT",
    ] {
        if tree.find(needed).is_none_or(|file| file.text.trim().is_empty()) {
            findings.wrong(needed, 0, "is missing");
        }
    }
    let fragments =
        tree.files.iter().filter(|f| f.path.starts_with("changes/") && f.path != "changes/README.md");
    let mut any = tree.find("CHANGELOG.md").is_some_and(|log| log.text.contains("\n## "));
    for fragment in fragments {
        any = true;
        if !fragment.has_extension("md") || !KINDS.iter().any(|kind| fragment.text.starts_with(kind)) {
            findings.wrong(&fragment.path, 1, format!("a change begins with one of: {}", KINDS.join("")));
        }
    }
    if !any {
        findings.wrong("changes", 0, "no release in CHANGELOG.md and no fragment: what changed?");
    }
}
