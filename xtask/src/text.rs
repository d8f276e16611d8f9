//! What the sources must not say, and how long they may be.

use crate::tree::{File, Findings, Tree};

/// Lines of a Rust file; tests may have more.
const FILE_LINES_WISHED: usize = 600;
/// Lines of any Rust file.
const FILE_LINES_MAX: usize = 800;
/// Lines of a function's body.
const FUNCTION_LINES_WISHED: usize = 70;

/// Unfinished work, and what hides it. Written in two parts, so that this file has none of them.
const UNFINISHED: [(&str, &str); 6] = [
    (concat!("TO", "DO"), "finish it, or file an issue"),
    (concat!("FIX", "ME"), "mend it, or file an issue"),
    (concat!("XX", "X:"), "say what is wrong in a sentence"),
    (concat!("unimpl", "emented!("), "no stubs"),
    (concat!("to", "do!("), "no stubs"),
    (concat!("#[ign", "ore"), "a test is never ignored: assert what is"),
];

pub(crate) fn check(tree: &Tree, findings: &mut Findings) {
    let sources = tree
        .files
        .iter()
        .filter(|f| ["rs", "js", "mjs", "py", "css", "html"].iter().any(|e| f.has_extension(e)));
    for file in sources {
        for (number, line) in file.text.lines().enumerate() {
            for (word, instead) in UNFINISHED {
                if line.contains(word) {
                    findings.wrong(&file.path, number + 1, format!("{word}: {instead}"));
                }
            }
        }
    }
    for file in tree.with_extension("rs") {
        if !file.text.starts_with("//!") && !file.path.ends_with("build.rs") && !is_test(&file.path) {
            findings.doubtful(&file.path, 1, "begins without a sentence that says what it is for");
        }
        lengths(file, findings);
        functions(file, findings);
    }
}

fn is_test(path: &str) -> bool {
    path.contains("/tests/") || path.starts_with("tests/") || path.ends_with("tests.rs")
}

fn lengths(file: &File, findings: &mut Findings) {
    let lines = file.text.lines().count();
    if lines > FILE_LINES_MAX {
        findings.wrong(
            &file.path,
            0,
            format!("{lines} lines, at most {FILE_LINES_MAX}: part it by what it does"),
        );
    } else if lines > FILE_LINES_WISHED && !is_test(&file.path) {
        findings.doubtful(&file.path, 0, format!("{lines} lines, better at most {FILE_LINES_WISHED}"));
    }
}

/// Finds long functions by rustfmt's own habit: a function ends at the first closing brace that stands as
/// far in as its first line.
fn functions(file: &File, findings: &mut Findings) {
    let lines: Vec<&str> = file.text.lines().collect();
    for (start, line) in lines.iter().enumerate() {
        let trimmed = line.trim_start();
        let words = [
            "fn ",
            "pub fn ",
            "pub(crate) fn ",
            "pub(super) fn ",
            "async fn ",
            "pub async fn ",
            "pub(crate) async fn ",
            "pub(super) async fn ",
            "const fn ",
            "pub const fn ",
        ];
        if !words.iter().any(|word| trimmed.starts_with(word)) {
            continue;
        }
        let indent = &line[..line.len() - trimmed.len()];
        let end = format!("{indent}}}");
        let Some(length) = lines[start..].iter().position(|line| **line == end) else { continue };
        // A declaration without a body has no braces of its own.
        let opens = lines[start..].iter().find(|line| line.ends_with('{') || line.ends_with(';'));
        if opens.is_some_and(|line| line.ends_with('{')) && length > FUNCTION_LINES_WISHED {
            findings.doubtful(
                &file.path,
                start + 1,
                format!("a function of {length} lines, better at most {FUNCTION_LINES_WISHED}"),
            );
        }
    }
}
