//! Every link in the documents leads somewhere, and every page is in the table of contents.

use std::path::{Component, Path, PathBuf};

use crate::tree::{File, Findings, Tree};

const SUMMARY: &str = "docs/SUMMARY.md";

pub(crate) fn check(tree: &Tree, findings: &mut Findings) {
    for file in tree.with_extension("md") {
        for (line, target) in links(&file.text) {
            if let Err(problem) = resolve(tree, file, &target) {
                findings.wrong(&file.path, line, format!("{target}: {problem}"));
            }
        }
    }
    let Some(summary) = tree.find(SUMMARY) else {
        findings.wrong(SUMMARY, 0, "is missing");
        return;
    };
    let listed: Vec<String> =
        links(&summary.text).into_iter().map(|(_, target)| format!("docs/{target}")).collect();
    for page in tree.with_extension("md").filter(|file| file.path.starts_with("docs/")) {
        if page.path != SUMMARY && !listed.contains(&page.path) {
            findings.wrong(&page.path, 0, "is not in docs/SUMMARY.md");
        }
    }
}

/// The targets of a text's links and pictures, with their lines. What is in code is left out.
fn links(text: &str) -> Vec<(usize, String)> {
    let (mut found, mut in_code) = (Vec::new(), false);
    for (number, line) in text.lines().enumerate() {
        if line.trim_start().starts_with("```") {
            in_code = !in_code;
        }
        if in_code {
            continue;
        }
        // Every second part lies between two backticks.
        let plain: String =
            line.split('`').enumerate().map(|(i, part)| if i % 2 == 0 { part } else { "" }).collect();
        let mut rest = plain.as_str();
        while let Some(at) = rest.find("](") {
            rest = &rest[at + 2..];
            let Some(end) = rest.find(')') else { break };
            let target = rest[..end].split_whitespace().next().unwrap_or_default();
            found.push((number + 1, target.to_owned()));
        }
    }
    found
}

fn resolve(tree: &Tree, from: &File, target: &str) -> Result<(), String> {
    if target.starts_with("http://") || target.starts_with("https://") || target.starts_with("mailto:") {
        return Ok(());
    }
    let (path, anchor) = target.split_once('#').unwrap_or((target, ""));
    let there = if path.is_empty() {
        from.path.clone()
    } else {
        let folder = Path::new(&from.path).parent().unwrap_or_else(|| Path::new(""));
        plain(&folder.join(path)).ok_or("leads out of the repository")?
    };
    if from.path.starts_with("docs/") && !there.starts_with("docs/") {
        return Err("leads out of the book".into());
    }
    let Some(file) = tree.find(&there) else {
        return if tree.root.join(&there).exists() { Ok(()) } else { Err("there is no such file".into()) };
    };
    if anchor.is_empty() || !file.has_extension("md") || anchors(&file.text).iter().any(|a| a == anchor) {
        return Ok(());
    }
    Err(format!("{there} has no heading #{anchor}"))
}

/// A path without `..`, with slashes; `None` where it leads out.
fn plain(path: &Path) -> Option<String> {
    let mut plain = PathBuf::new();
    for part in path.components() {
        match part {
            Component::ParentDir if !plain.pop() => return None,
            Component::Normal(name) => plain.push(name),
            _ => {}
        }
    }
    Some(plain.to_string_lossy().into_owned())
}

/// The anchors that mdBook and GitHub make of headings.
fn anchors(text: &str) -> Vec<String> {
    let mut anchors: Vec<String> = Vec::new();
    let mut in_code = false;
    for line in text.lines() {
        if line.starts_with("```") {
            in_code = !in_code;
        }
        let title = line.trim_start_matches('#');
        if in_code || title.len() == line.len() || !title.starts_with(' ') {
            continue;
        }
        let mut anchor = String::new();
        for c in title.trim().chars() {
            if c.is_alphanumeric() || c == '_' || c == '-' {
                anchor.extend(c.to_lowercase());
            } else if c.is_whitespace() {
                anchor.push('-');
            }
        }
        let again = anchors.iter().filter(|a| **a == anchor).count();
        anchors.push(if again == 0 { anchor } else { format!("{anchor}-{again}") });
    }
    anchors
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn links_in_code_are_left_alone() {
        let text = "[a](b.md) `[c](d.md)` ![e](f.svg \"title\")\n```\n[g](h.md)\n```\n[i](#j)";
        let found: Vec<_> =
            links(text).into_iter().map(|(line, target)| format!("{line} {target}")).collect();
        assert_eq!(found, ["1 b.md", "1 f.svg", "5 #j"]);
    }

    #[test]
    fn headings_become_anchors() {
        let text = "# Two words\n## `code` and (more)\n```\n# not this\n```\n### Two words\n#no\n## 中文";
        assert_eq!(anchors(text), ["two-words", "code-and-more", "two-words-1", "中文"]);
    }

    #[test]
    fn paths_stay_in_the_repository() {
        assert_eq!(plain(Path::new("docs/guide/../a.md")).as_deref(), Some("docs/a.md"));
        assert_eq!(plain(Path::new("docs/../../a.md")), None);
    }
}
