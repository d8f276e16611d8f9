//! Every Cargo feature is documented where developers look for it.

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
}
