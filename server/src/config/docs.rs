//! The manual of the config, taken from the doc comments of the sections' own types.
//!
//! The sources are part of the binary's build, so what `yizhan config reference`, `yizhan init` and the
//! messages about unknown keys know is what the code knows.

use std::collections::HashMap;

/// The sources that declare sections: by which path this crate names their types, and the text.
const SOURCES: &[(&str, &str)] = &[
    ("crate", include_str!("sections.rs")),
    ("yizhan_net", include_str!("../../../engines/net/src/setting.rs")),
    ("yizhan_disk", include_str!("../../../engines/disk/src/config.rs")),
    ("yizhan_socket", include_str!("../../../doors/socket/src/config.rs")),
    ("yizhan_mqtt", include_str!("../../../doors/mqtt/src/config.rs")),
    ("yizhan_mqtt::bridge", include_str!("../../../doors/mqtt/src/bridge/config.rs")),
    ("yizhan_net", include_str!("../../../engines/net/src/dial.rs")),
    ("yizhan_admin", include_str!("../../../doors/admin/src/door.rs")),
    ("yizhan_im", include_str!("../../../services/im/src/config.rs")),
    ("yizhan_chat", include_str!("../../../doors/chat/src/config.rs")),
    ("yizhan_media", include_str!("../../../services/media/src/config.rs")),
    ("yizhan_media", include_str!("../../../services/media/src/config/hooks.rs")),
    ("yizhan_media", include_str!("../../../services/media/src/config/ladder.rs")),
    ("yizhan_media", include_str!("../../../services/media/src/config/record.rs")),
    ("yizhan_media", include_str!("../../../services/media/src/config/snapshots.rs")),
    ("yizhan_media", include_str!("../../../services/media/src/access/config.rs")),
    ("yizhan_media", include_str!("../../../services/media/src/access/keys.rs")),
    ("yizhan_media", include_str!("../../../services/media/src/chat/config.rs")),
    ("yizhan_media::config::relay", include_str!("../../../services/media/src/config/relay.rs")),
    ("yizhan_rtmp", include_str!("../../../doors/rtmp/src/config.rs")),
    ("yizhan_hls", include_str!("../../../doors/hls/src/config.rs")),
    ("yizhan_identity", include_str!("../../../services/identity/src/config.rs")),
    ("yizhan_identity", include_str!("../../../services/identity/src/rules.rs")),
];

/// The struct at the top.
const TOP: &str = "Config";

/// One declared type.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct Declared {
    pub(crate) doc: String,
    /// A struct's fields, or an enum's words.
    pub(crate) fields: Vec<Field>,
    pub(crate) is_enum: bool,
}

/// One field of a struct, or one word of an enum.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Field {
    /// The key in the config.
    pub(crate) key: String,
    pub(crate) doc: String,
    /// The Rust type; empty for a word.
    pub(crate) kind: String,
    /// Whether its own keys stand in its parent's table.
    pub(crate) flatten: bool,
}

/// All sections and what they are made of.
#[derive(Debug)]
pub(crate) struct Manual(HashMap<(String, String), Declared>);

/// What a key holds.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Shape {
    /// A value.
    Value,
    /// A table with known keys: `[key]`.
    Table(TypeName),
    /// Tables with names of the operator's choice: `[key.NAME]`.
    Named(TypeName),
    /// A list of tables: `[[key]]`.
    Listed(TypeName),
}

/// A type's crate and name.
pub(crate) type TypeName = (String, String);

impl Manual {
    /// Reads the sources.
    pub(crate) fn new() -> Self {
        let mut all = HashMap::new();
        for (from, source) in SOURCES {
            for (name, declared) in parse(source) {
                all.entry(((*from).to_owned(), name)).or_insert(declared);
            }
        }
        Self(all)
    }

    /// The type at the top.
    pub(crate) fn top() -> TypeName {
        ("crate".to_owned(), TOP.to_owned())
    }

    /// A type's declaration.
    pub(crate) fn declared(&self, name: &TypeName) -> Option<&Declared> {
        self.0.get(name)
    }

    /// The fields of a struct, those of flattened ones among them.
    pub(crate) fn fields(&self, name: &TypeName) -> Vec<(TypeName, Field)> {
        let mut all = Vec::new();
        for field in self.0.get(name).map_or(&[][..], |d| &d.fields) {
            match (field.flatten, self.shape(name, field)) {
                (true, Shape::Table(inner)) => all.extend(self.fields(&inner)),
                _ => all.push((name.clone(), field.clone())),
            }
        }
        all
    }

    /// What a field of a struct in `within` holds.
    pub(crate) fn shape(&self, within: &TypeName, field: &Field) -> Shape {
        let mut kind = field.kind.as_str();
        let mut wrap: fn(TypeName) -> Shape = Shape::Table;
        loop {
            let inner = |outer: &str| kind.strip_prefix(outer).and_then(|rest| rest.strip_suffix('>'));
            if let Some(rest) = inner("Option<").or_else(|| inner("Box<")) {
                kind = rest;
            } else if let Some(rest) = inner("Vec<") {
                (kind, wrap) = (rest, Shape::Listed);
            } else if let Some(rest) = inner("IndexMap<String, ").or_else(|| inner("BTreeMap<String, ")) {
                (kind, wrap) = (rest, Shape::Named);
            } else {
                break;
            }
        }
        match self.resolve(within, kind) {
            Some((name, declared)) if !declared.is_enum => wrap(name),
            _ => Shape::Value,
        }
    }

    /// The declaration that a type's name means in a crate: by its path, the crate's own, or one that was
    /// imported.
    fn resolve(&self, within: &TypeName, kind: &str) -> Option<(TypeName, &Declared)> {
        let (from, name) = match kind.rsplit_once("::") {
            // A module whose types have names of their own is a source of its own.
            Some((path, name)) if self.0.contains_key(&(path.to_owned(), name.to_owned())) => (path, name),
            Some((path, name)) => (path.split("::").next().unwrap_or(path), name),
            None => (within.0.as_str(), kind),
        };
        let key = (from.to_owned(), name.to_owned());
        if let Some(declared) = self.0.get(&key) {
            return Some((key, declared));
        }
        let mut named = self.0.iter().filter(|((_, n), _)| n == name);
        match (named.next(), named.next()) {
            (Some((key, declared)), None) => Some((key.clone(), declared)),
            _ => None,
        }
    }

    /// The words that a field takes, where its type is an enum.
    pub(crate) fn words(&self, within: &TypeName, field: &Field) -> Vec<Field> {
        let kind = field.kind.trim_start_matches("Option<").trim_start_matches("Vec<").trim_end_matches('>');
        let found = self.resolve(within, kind).filter(|(_, declared)| declared.is_enum);
        found.map(|(_, declared)| declared.fields.clone()).unwrap_or_default()
    }
}

/// The types that a source declares, as rustfmt leaves them: one field a line, a `}` alone at the end.
fn parse(source: &str) -> Vec<(String, Declared)> {
    let mut all = Vec::new();
    let mut open: Option<(String, Declared)> = None;
    let mut docs: Vec<&str> = Vec::new();
    let mut attributes = String::new();
    let mut depth = 0i32;
    for line in source.lines() {
        let text = line.trim();
        if line == "#[cfg(test)]" {
            break;
        }
        if let Some(doc) = text.strip_prefix("///") {
            docs.push(doc.strip_prefix(' ').unwrap_or(doc));
            continue;
        }
        if text.starts_with("#[") || depth > 0 {
            depth += bracket_balance(text);
            attributes.push_str(text);
            continue;
        }
        let words: Vec<&str> = text.split_whitespace().collect();
        match &mut open {
            None => {
                let at = words.iter().position(|w| matches!(*w, "struct" | "enum"));
                if let Some(at) = at.filter(|at| *at <= 1 && text.ends_with('{')) {
                    let name = words.get(at + 1).copied().unwrap_or_default().to_owned();
                    let is_enum = words[at] == "enum";
                    open = Some((name, Declared { doc: docs.join("\n"), fields: Vec::new(), is_enum }));
                }
            }
            Some(_) if line == "}" => all.extend(open.take()),
            Some((_, declared)) => {
                let field = if declared.is_enum { word(text) } else { field(text) };
                let is_there = !attributes.contains("skip") && is_built(&attributes);
                if let Some(mut field) = field.filter(|_| is_there) {
                    if let Some(key) = between(&attributes, "rename = \"", "\"") {
                        field.key = key.to_owned();
                    }
                    field.flatten = attributes.contains("flatten");
                    field.doc = docs.join("\n");
                    declared.fields.push(field);
                }
            }
        }
        docs.clear();
        attributes.clear();
    }
    all
}

/// Whether a field's feature is built in, where it has one.
fn is_built(attributes: &str) -> bool {
    match between(attributes, "feature = \"", "\"") {
        Some("socket") => cfg!(feature = "socket"),
        Some("mqtt") => cfg!(feature = "mqtt"),
        Some("admin") => cfg!(feature = "admin"),
        _ => true,
    }
}

fn bracket_balance(text: &str) -> i32 {
    let count = |c: char| i32::try_from(text.matches(c).count()).unwrap_or(0);
    count('[') - count(']')
}

fn between<'t>(text: &'t str, before: &str, after: &str) -> Option<&'t str> {
    let rest = &text[text.find(before)? + before.len()..];
    rest.find(after).map(|end| &rest[..end])
}

/// `pub listen: Vec<SocketAddr>,`
fn field(text: &str) -> Option<Field> {
    let rest = text.strip_prefix("pub(crate) ").or_else(|| text.strip_prefix("pub "))?;
    let (key, kind) = rest.strip_suffix(',')?.split_once(": ")?;
    Some(Field { key: key.to_owned(), doc: String::new(), kind: kind.to_owned(), flatten: false })
}

/// `CatchUp,` is the word `catch_up`.
fn word(text: &str) -> Option<Field> {
    let name = text.strip_suffix(',')?;
    let name = name.split(['(', ' ']).next()?;
    let mut key = String::new();
    for c in name.chars() {
        if c.is_uppercase() && !key.is_empty() {
            key.push('_');
        }
        key.extend(c.to_lowercase());
    }
    Some(Field { key, doc: String::new(), kind: String::new(), flatten: false })
}

/// The known word that is fewest edits away, where that is near enough to be a slip.
pub(crate) fn nearest<'k>(word: &str, known: &[&'k str]) -> Option<&'k str> {
    known
        .iter()
        .map(|k| (edits(word, k), *k))
        .min()
        .filter(|(edits, k)| *edits <= 1 + k.len().max(word.len()) / 4)
        .map(|(_, k)| k)
        .or_else(|| known.iter().find(|k| word.len() > 3 && k.contains(word)).copied())
}

/// Levenshtein's distance, with a swap of neighbours as one edit.
fn edits(a: &str, b: &str) -> usize {
    let (a, b): (Vec<char>, Vec<char>) = (a.chars().collect(), b.chars().collect());
    let mut rows = vec![vec![0; b.len() + 1]; a.len() + 1];
    for (i, row) in rows.iter_mut().enumerate() {
        row[0] = i;
    }
    for (j, cell) in rows[0].iter_mut().enumerate() {
        *cell = j;
    }
    for i in 1..=a.len() {
        for j in 1..=b.len() {
            let change = rows[i - 1][j - 1] + usize::from(a[i - 1] != b[j - 1]);
            let mut best = change.min(rows[i - 1][j] + 1).min(rows[i][j - 1] + 1);
            if i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1] {
                best = best.min(rows[i - 2][j - 2] + 1);
            }
            rows[i][j] = best;
        }
    }
    rows[a.len()][b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_source_gives_its_types_with_docs_and_keys() {
        let source = "
/// How it is.
#[derive(Debug, Deserialize)]
#[serde(
    deny_unknown_fields,
    default
)]
pub struct Section {
    /// Where.
    ///
    /// More.
    #[serde(with = \"x\")]
    pub listen: Vec<SocketAddr>,
    #[serde(rename = \"type\")]
    pub(crate) kind: Option<yizhan_net::Kind>,
    private: u8,
}

pub enum Lag {
    /// Slowly.
    CatchUp,
}
";
        let all = parse(source);
        let (name, section) = &all[0];
        assert_eq!((name.as_str(), section.doc.as_str()), ("Section", "How it is."));
        let keys: Vec<_> = section.fields.iter().map(|f| (f.key.as_str(), f.doc.as_str())).collect();
        assert_eq!(keys, [("listen", "Where.\n\nMore."), ("type", "")]);
        assert_eq!((all[1].1.fields[0].key.as_str(), all[1].1.is_enum), ("catch_up", true));
    }

    #[test]
    fn a_slip_is_told_from_something_else() {
        let known = ["listen", "trusted_proxies", "drain"];
        assert_eq!(nearest("lisen", &known), Some("listen"));
        assert_eq!(nearest("litsen", &known), Some("listen"));
        assert_eq!(nearest("proxies", &known), Some("trusted_proxies"));
        assert_eq!(nearest("colour", &known), None);
    }
}
