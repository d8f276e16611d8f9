//! Checks of the tree itself, for what neither rustc nor clippy can hold. `./x check` runs them, and
//! `cargo test` does, too.
//!
//! ```text
//! cargo run -p xtask -- tidy        floors, lengths, unfinished work, links, changelog, features, licences
//! cargo run -p xtask -- bans        shows that each floor's clippy.toml forbids what it shall
//! ```

mod bans;
mod changes;
mod features;
mod floors;
mod licences;
mod links;
mod text;
mod tree;

use std::process::ExitCode;

use tree::{Findings, Tree};

fn main() -> ExitCode {
    let task = std::env::args().nth(1).unwrap_or_default();
    let findings = match task.as_str() {
        "tidy" => tidy(),
        "bans" => bans::check(&tree::root()),
        _ => {
            eprintln!("usage: cargo run -p xtask -- tidy | bans");
            return ExitCode::from(2);
        }
    };
    findings.print();
    if findings.is_clean() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// Everything that is quick.
fn tidy() -> Findings {
    let mut findings = Findings::default();
    let tree = match Tree::read() {
        Ok(tree) => tree,
        Err(problem) => {
            findings.wrong("the tree", 0, problem);
            return findings;
        }
    };
    floors::check(&tree, &mut findings);
    text::check(&tree, &mut findings);
    links::check(&tree, &mut findings);
    changes::check(&tree, &mut findings);
    features::check(&tree, &mut findings);
    licences::check(&tree, &mut findings);
    findings
}

#[cfg(test)]
mod tests {
    /// The whole tree, as it lies there.
    #[test]
    fn the_tree_is_tidy() {
        let findings = super::tidy();
        findings.print();
        assert!(findings.is_clean(), "the tree is not tidy, see above");
    }
}
