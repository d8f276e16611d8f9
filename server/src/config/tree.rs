//! Settings as a tree, each with the place it came from; and how one layer is laid over another.

use std::{fmt, path::Path, sync::Arc};

use toml::de::{DeTable, DeValue};

/// Where a setting came from, for messages that lead a person to it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Origin {
    /// A line of a file.
    File(Arc<str>, usize),
    /// An environment variable.
    Env(Arc<str>),
    /// An argument, as it was given.
    Set(Arc<str>),
    /// The program itself.
    BuiltIn,
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File(file, line) => write!(f, "{file}:{line}"),
            Self::Env(name) => write!(f, "environment {name}"),
            Self::Set(text) => f.write_str(text),
            Self::BuiltIn => f.write_str("built in"),
        }
    }
}

/// One setting, or a table of them.
#[derive(Debug, Clone)]
pub(crate) struct Node {
    pub(crate) from: Origin,
    pub(crate) item: Item,
    /// The text that a shell passed, before it was read as TOML.
    pub(crate) raw: Option<String>,
}

/// What a setting is.
#[derive(Debug, Clone)]
pub(crate) enum Item {
    Text(String),
    Integer(i64),
    Float(f64),
    Bool(bool),
    List(Vec<Node>),
    Table(Vec<(String, Node)>),
    /// Nothing that a setting can be: a date, or an integer of more than 63 bits.
    Other(&'static str),
}

impl Node {
    /// A file's settings.
    ///
    /// # Errors
    /// What is wrong, with file and line.
    pub(crate) fn parse_file(path: &Path, text: &str) -> Result<Self, String> {
        let name: Arc<str> = path.display().to_string().into();
        let lines = Lines { name: name.clone(), text };
        let table = DeTable::parse(text).map_err(|error| {
            let line = error.span().map_or(1, |span| lines.number(span.start));
            format!("{name}:{line}: {}", error.message())
        })?;
        Ok(Self { from: Origin::File(name, 1), item: lines.table(table.get_ref()), raw: None })
    }

    /// One setting given as `a.b.c` and a text: the text is read as a TOML value, or is the value itself.
    pub(crate) fn single(keys: &[String], text: &str, from: &Origin) -> Self {
        let mut node = Self { from: from.clone(), item: value_of(text, from), raw: Some(text.to_owned()) };
        for key in keys.iter().rev() {
            node = Self { from: from.clone(), item: Item::Table(vec![(key.clone(), node)]), raw: None };
        }
        node
    }

    /// The node under a key of this table.
    pub(crate) fn child(&self, key: &str) -> Option<&Self> {
        let Item::Table(entries) = &self.item else { return None };
        entries.iter().find(|(k, _)| k == key).map(|(_, node)| node)
    }

    /// Takes a key out of this table.
    pub(crate) fn remove(&mut self, key: &str) {
        if let Item::Table(entries) = &mut self.item {
            entries.retain(|(k, _)| k != key);
        }
    }

    /// The tree of a value that was serialized.
    pub(crate) fn built_in(value: &toml::Value) -> Self {
        let item = match value {
            toml::Value::String(text) => Item::Text(text.clone()),
            toml::Value::Integer(n) => Item::Integer(*n),
            toml::Value::Float(n) => Item::Float(*n),
            toml::Value::Boolean(b) => Item::Bool(*b),
            toml::Value::Datetime(_) => Item::Other("a date"),
            toml::Value::Array(list) => Item::List(list.iter().map(Self::built_in).collect()),
            toml::Value::Table(table) => {
                Item::Table(table.iter().map(|(k, v)| (k.clone(), Self::built_in(v))).collect())
            }
        };
        Self { from: Origin::BuiltIn, item, raw: None }
    }

    /// Lays `upper` over this: tables are joined key by key, everything else is replaced.
    pub(crate) fn overlay(&mut self, upper: Self) {
        match (&mut self.item, upper.item) {
            (Item::Table(mine), Item::Table(theirs)) => {
                for (key, node) in theirs {
                    match mine.iter_mut().find(|(k, _)| *k == key) {
                        Some((_, place)) => place.overlay(node),
                        None => mine.push((key, node)),
                    }
                }
            }
            (_, item) => *self = Self { from: upper.from, item, raw: upper.raw },
        }
    }
}

/// The value in a text that a shell passed on: quotes may be gone, so what is no TOML is a string.
fn value_of(text: &str, from: &Origin) -> Item {
    let lines = Lines { name: "".into(), text };
    match DeValue::parse(text) {
        Ok(value) => lines.item(value.get_ref(), Some(from)),
        Err(_) => Item::Text(text.to_owned()),
    }
}

/// Finds the line of a byte offset.
struct Lines<'t> {
    name: Arc<str>,
    text: &'t str,
}

impl Lines<'_> {
    fn number(&self, offset: usize) -> usize {
        self.text.as_bytes()[..offset.min(self.text.len())].iter().filter(|&&b| b == b'\n').count() + 1
    }

    fn table(&self, table: &DeTable<'_>) -> Item {
        let mut entries: Vec<(usize, String, Node)> = table
            .iter()
            .map(|(key, value)| {
                let start = key.span().start;
                let from = Origin::File(self.name.clone(), self.number(start));
                let item = self.item(value.get_ref(), None);
                (start, key.get_ref().to_string(), Node { from, item, raw: None })
            })
            .collect();
        // As written: people give spaces and rules in an order that means something to them.
        entries.sort_by_key(|(start, ..)| *start);
        Item::Table(entries.into_iter().map(|(_, key, node)| (key, node)).collect())
    }

    fn item(&self, value: &DeValue<'_>, from: Option<&Origin>) -> Item {
        match value {
            DeValue::String(text) => Item::Text(text.to_string()),
            DeValue::Integer(n) => match i64::from_str_radix(n.as_str(), n.radix()) {
                Ok(n) => Item::Integer(n),
                Err(_) => Item::Other("a number beyond 63 bits"),
            },
            DeValue::Float(n) => n.as_str().parse().map_or(Item::Other("no number"), Item::Float),
            DeValue::Boolean(b) => Item::Bool(*b),
            DeValue::Datetime(_) => Item::Other("a date"),
            DeValue::Array(list) => Item::List(
                list.iter()
                    .map(|value| Node {
                        from: from.cloned().unwrap_or_else(|| {
                            Origin::File(self.name.clone(), self.number(value.span().start))
                        }),
                        item: self.item(value.get_ref(), from),
                        raw: None,
                    })
                    .collect(),
            ),
            DeValue::Table(table) => match (self.table(table), from) {
                (Item::Table(entries), Some(from)) => Item::Table(
                    entries.into_iter().map(|(k, n)| (k, Node { from: from.clone(), ..n })).collect(),
                ),
                (item, _) => item,
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Result<Node, String> {
        Node::parse_file(Path::new("y.toml"), text)
    }
    fn find<'n>(node: &'n Node, path: &str) -> &'n Node {
        path.split('.').fold(node, |node, key| match &node.item {
            Item::Table(entries) => &entries.iter().find(|(k, _)| k == key).unwrap().1,
            other => panic!("{path}: {other:?}"),
        })
    }

    #[test]
    fn settings_know_their_line() {
        let tree = parse("[http]\n# a word\nlisten = \"x\"\n\n[[rule]]\nallow=1\n").unwrap();
        assert_eq!(find(&tree, "http.listen").from.to_string(), "y.toml:3");
        assert_eq!(parse("a = 1\nb = = 2").unwrap_err().split(' ').next(), Some("y.toml:2:"));
    }

    #[test]
    fn an_upper_layer_joins_tables_and_replaces_the_rest() {
        let mut tree = parse("[a]\nx = 1\nl = [1, 2]\n").unwrap();
        let from = Origin::Set("--set x".into());
        tree.overlay(Node::single(&["a".into(), "l".into()], "[3]", &from));
        tree.overlay(Node::single(&["a".into(), "y".into()], "127.0.0.1:9000", &from));
        assert!(matches!(find(&tree, "a.x").item, Item::Integer(1)));
        assert!(matches!(&find(&tree, "a.l").item, Item::List(l) if l.len() == 1));
        assert!(matches!(&find(&tree, "a.y").item, Item::Text(t) if t == "127.0.0.1:9000"));
        assert_eq!(find(&tree, "a.y").from, from);
    }
}
