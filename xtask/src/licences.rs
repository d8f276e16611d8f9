//! Licences and sources of all dependencies, by the lists in deny.toml.
//!
//! `cargo deny` checks the same and more where it is installed; building it takes longer than building
//! Yizhan, so the part that needs no network is here.

use crate::tree::{Findings, Tree};

const LISTS: &str = "deny.toml";

pub(crate) fn check(tree: &Tree, findings: &mut Findings) {
    let Some(lists) = tree.find(LISTS).and_then(|file| file.text.parse::<toml::Table>().ok()) else {
        findings.wrong(LISTS, 0, "is missing or is not TOML");
        return;
    };
    let list = |section: &str, key: &str| -> Vec<String> {
        let values = lists.get(section).and_then(|s| s.get(key)).and_then(toml::Value::as_array);
        let text = |value: &toml::Value| {
            let name = value.as_str().or_else(|| value.get("crate").and_then(toml::Value::as_str));
            name.map(str::to_owned)
        };
        values.into_iter().flatten().filter_map(text).collect()
    };
    let (allowed, banned) = (list("licenses", "allow"), list("bans", "deny"));
    for package in tree.packages(false) {
        let (name, version) = (text(package, "name"), text(package, "version"));
        let place = format!("Cargo.lock ({name} {version})");
        if !text(package, "source").starts_with("registry+https://github.com/rust-lang/crates.io-index") {
            findings.wrong(&place, 0, "does not come from crates.io");
        }
        if banned.iter().any(|banned| banned == name) {
            findings.wrong(&place, 0, "is banned, see deny.toml");
        }
        let licence = text(package, "license");
        if !permits(licence, &allowed) {
            findings.wrong(&place, 0, format!("its licence is not in deny.toml: '{licence}'"));
        }
    }
}

fn text<'a>(package: &'a serde_json::Value, key: &str) -> &'a str {
    package[key].as_str().unwrap_or_default()
}

/// Whether an SPDX expression can be fulfilled with the allowed licences alone.
fn permits(expression: &str, allowed: &[String]) -> bool {
    // The old way to write OR.
    let spaced = expression.replace('/', " OR ").replace('(', " ( ").replace(')', " ) ");
    let mut words = spaced.split_whitespace().peekable();
    let fulfilled = any_of(&mut words, allowed);
    fulfilled && words.next().is_none()
}

type Words<'a> = std::iter::Peekable<std::str::SplitWhitespace<'a>>;

fn any_of(words: &mut Words<'_>, allowed: &[String]) -> bool {
    let mut fulfilled = all_of(words, allowed);
    while words.next_if_eq(&"OR").is_some() {
        fulfilled |= all_of(words, allowed);
    }
    fulfilled
}

fn all_of(words: &mut Words<'_>, allowed: &[String]) -> bool {
    let mut fulfilled = one(words, allowed);
    while words.next_if_eq(&"AND").is_some() {
        fulfilled &= one(words, allowed);
    }
    fulfilled
}

fn one(words: &mut Words<'_>, allowed: &[String]) -> bool {
    match words.next() {
        Some("(") => {
            let fulfilled = any_of(words, allowed);
            words.next_if_eq(&")").is_some() && fulfilled
        }
        Some(name) => {
            let name = match words.next_if_eq(&"WITH") {
                Some(_) => format!("{name} WITH {}", words.next().unwrap_or_default()),
                None => name.to_owned(),
            };
            allowed.contains(&name)
        }
        None => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn expressions_are_read() {
        let allowed = ["MIT", "ISC", "Apache-2.0 WITH LLVM-exception"].map(str::to_owned);
        for good in [
            "MIT",
            "GPL-3.0 OR MIT",
            "Apache-2.0/MIT",
            "MIT AND (GPL-3.0 OR ISC)",
            "(MIT OR GPL-3.0) AND Apache-2.0 WITH LLVM-exception",
        ] {
            assert!(permits(good, &allowed), "{good}");
        }
        for bad in ["", "GPL-3.0", "MIT AND GPL-3.0", "Apache-2.0 OR GPL-3.0", "(MIT", "MIT ISC"] {
            assert!(!permits(bad, &allowed), "{bad}");
        }
    }
}
