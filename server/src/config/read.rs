//! From a tree of settings to the sections' own types: a serde deserializer that knows where each setting
//! came from, so that an error leads to a line, a variable or an argument.

use std::fmt;

use serde::de::{self, DeserializeSeed, IntoDeserializer, Unexpected, Visitor};

use super::{
    tree::{Item, Node, Origin},
    units::parse_size,
};

/// What is wrong with one setting.
#[derive(Debug)]
pub(crate) struct ReadError {
    what: String,
    from: Option<Origin>,
    path: Vec<String>,
}

impl fmt::Display for ReadError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(from) = &self.from {
            write!(f, "{from}: ")?;
        }
        if !self.path.is_empty() {
            let path: Vec<&str> = self.path.iter().rev().map(String::as_str).collect();
            write!(f, "{}: ", path.join("."))?;
        }
        f.write_str(&self.what)
    }
}

impl std::error::Error for ReadError {}

impl de::Error for ReadError {
    fn custom<T: fmt::Display>(what: T) -> Self {
        Self { what: what.to_string(), from: None, path: Vec::new() }
    }
}

impl ReadError {
    /// Names the place, where nobody nearer to it has.
    fn at(mut self, node: &Node) -> Self {
        self.from.get_or_insert_with(|| node.from.clone());
        self
    }
    fn within(mut self, key: &str) -> Self {
        self.path.push(key.to_owned());
        self
    }
}

/// Reads a type from a tree.
///
/// # Errors
/// The first setting that does not fit.
pub(crate) fn read<'de, T: de::Deserialize<'de>>(node: &'de Node) -> Result<T, ReadError> {
    T::deserialize(Reader { node, key: "" })
}

#[derive(Clone, Copy)]
struct Reader<'de> {
    node: &'de Node,
    /// The key under which this stands; one that counts bytes takes sizes such as `64MiB`.
    key: &'de str,
}

impl<'de> Reader<'de> {
    fn counts_bytes(&self) -> bool {
        ["bytes", "size", "memory"].iter().any(|word| self.key.contains(word))
    }

    fn visit_item<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, ReadError> {
        match &self.node.item {
            Item::Text(text) => visitor.visit_borrowed_str(text),
            Item::Integer(n) => match u64::try_from(*n) {
                Ok(n) => visitor.visit_u64(n),
                Err(_) => visitor.visit_i64(*n),
            },
            Item::Float(n) => visitor.visit_f64(*n),
            Item::Bool(b) => visitor.visit_bool(*b),
            Item::List(nodes) => visitor.visit_seq(List { nodes: nodes.iter(), key: self.key }),
            Item::Table(entries) => visitor.visit_map(Table { entries: entries.iter(), current: None }),
            Item::Other(what) => Err(de::Error::invalid_type(Unexpected::Other(what), &visitor)),
        }
        .map_err(|error| error.at(self.node))
    }

    fn visit_number<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, ReadError> {
        match &self.node.item {
            Item::Text(text) if self.counts_bytes() => match parse_size(text) {
                Some(bytes) => visitor.visit_u64(bytes),
                None => Err(de::Error::custom(format!("{text:?} is no size: write one such as \"64MiB\""))),
            }
            .map_err(|error: ReadError| error.at(self.node)),
            _ => self.visit_item(visitor),
        }
    }

    /// A text is wanted: what a shell passed is one, even if it also looks like a number.
    fn visit_text<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, ReadError> {
        match (&self.node.item, &self.node.raw) {
            (Item::Integer(_) | Item::Float(_) | Item::Bool(_) | Item::Other(_), Some(raw)) => {
                visitor.visit_borrowed_str(raw).map_err(|error: ReadError| error.at(self.node))
            }
            _ => self.visit_item(visitor),
        }
    }
}

macro_rules! numbers {
    ($($method:ident)*) => {$(
        fn $method<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, ReadError> {
            self.visit_number(visitor)
        }
    )*};
}

impl<'de> de::Deserializer<'de> for Reader<'de> {
    type Error = ReadError;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, ReadError> {
        self.visit_item(visitor)
    }

    numbers! {
        deserialize_u8 deserialize_u16 deserialize_u32 deserialize_u64
        deserialize_i8 deserialize_i16 deserialize_i32 deserialize_i64
    }

    fn deserialize_str<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, ReadError> {
        self.visit_text(visitor)
    }

    fn deserialize_string<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, ReadError> {
        self.visit_text(visitor)
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, ReadError> {
        match &self.node.item {
            // What TOML cannot say: this is not set, though a lower layer sets it.
            Item::Text(text) if text == "none" => visitor.visit_none(),
            _ => visitor.visit_some(self),
        }
        .map_err(|error: ReadError| error.at(self.node))
    }

    fn deserialize_seq<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, ReadError> {
        match &self.node.item {
            Item::List(_) | Item::Table(_) => self.visit_item(visitor),
            Item::Text(text) if text.is_empty() => {
                visitor.visit_seq(List { nodes: [].iter(), key: self.key })
            }
            // One stands for a list of one.
            _ => visitor.visit_seq(List { nodes: std::slice::from_ref(self.node).iter(), key: self.key }),
        }
        .map_err(|error: ReadError| error.at(self.node))
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(
        self,
        _name: &'static str,
        visitor: V,
    ) -> Result<V::Value, ReadError> {
        visitor.visit_newtype_struct(self)
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        _name: &'static str,
        _variants: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, ReadError> {
        match &self.node.item {
            Item::Text(text) => visitor.visit_enum(text.as_str().into_deserializer()),
            Item::Table(entries) => visitor.visit_enum(de::value::MapAccessDeserializer::new(Table {
                entries: entries.iter(),
                current: None,
            })),
            // A word such as `off` or `true` that a shell passed on, or a slip: let the type say it.
            _ => self.visit_text(visitor),
        }
        .map_err(|error: ReadError| error.at(self.node))
    }

    /// An address alone stands for a table with this `listen`.
    fn deserialize_struct<V: Visitor<'de>>(
        self,
        _name: &'static str,
        fields: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, ReadError> {
        match &self.node.item {
            Item::Text(_) | Item::List(_) if fields.contains(&LISTEN) => visitor
                .visit_map(Alone { node: Some(self.node) })
                .map_err(|error: ReadError| error.at(self.node)),
            _ => self.visit_item(visitor),
        }
    }

    serde::forward_to_deserialize_any! {
        bool f32 f64 char bytes byte_buf unit unit_struct tuple tuple_struct map identifier ignored_any
    }
}

/// The key that an address alone stands for.
const LISTEN: &str = "listen";

/// A table with nothing but `listen`.
struct Alone<'de> {
    node: Option<&'de Node>,
}

impl<'de> de::MapAccess<'de> for Alone<'de> {
    type Error = ReadError;

    fn next_key_seed<K: DeserializeSeed<'de>>(&mut self, seed: K) -> Result<Option<K::Value>, ReadError> {
        if self.node.is_none() {
            return Ok(None);
        }
        seed.deserialize(LISTEN.into_deserializer()).map(Some)
    }

    fn next_value_seed<V: DeserializeSeed<'de>>(&mut self, seed: V) -> Result<V::Value, ReadError> {
        let node = self.node.take().ok_or_else(|| de::Error::custom("a value without a key"))?;
        seed.deserialize(Reader { node, key: LISTEN })
    }
}

struct List<'de> {
    nodes: std::slice::Iter<'de, Node>,
    key: &'de str,
}

impl<'de> de::SeqAccess<'de> for List<'de> {
    type Error = ReadError;

    fn next_element_seed<T: DeserializeSeed<'de>>(&mut self, seed: T) -> Result<Option<T::Value>, ReadError> {
        let Some(node) = self.nodes.next() else { return Ok(None) };
        seed.deserialize(Reader { node, key: self.key }).map(Some).map_err(|error| error.at(node))
    }
}

struct Table<'de> {
    entries: std::slice::Iter<'de, (String, Node)>,
    current: Option<&'de (String, Node)>,
}

impl<'de> de::MapAccess<'de> for Table<'de> {
    type Error = ReadError;

    fn next_key_seed<K: DeserializeSeed<'de>>(&mut self, seed: K) -> Result<Option<K::Value>, ReadError> {
        self.current = self.entries.next();
        let Some((key, node)) = self.current else { return Ok(None) };
        seed.deserialize(key.as_str().into_deserializer())
            .map(Some)
            .map_err(|error: ReadError| error.at(node))
    }

    fn next_value_seed<V: DeserializeSeed<'de>>(&mut self, seed: V) -> Result<V::Value, ReadError> {
        let (key, node) = self.current.take().ok_or_else(|| de::Error::custom("a value without a key"))?;
        seed.deserialize(Reader { node, key }).map_err(|error| error.at(node).within(key))
    }
}

#[cfg(test)]
mod tests {
    use std::{collections::BTreeMap, path::Path};

    use serde::Deserialize;

    use super::*;

    #[derive(Debug, Deserialize, PartialEq)]
    #[serde(deny_unknown_fields)]
    struct Inner {
        body_bytes_max: u32,
        #[serde(default)]
        most: Option<u32>,
    }

    #[derive(Debug, Deserialize, PartialEq)]
    #[serde(rename_all = "snake_case")]
    enum Lag {
        CatchUp,
        Skip,
    }

    #[derive(Debug, Deserialize, PartialEq)]
    struct Outer {
        name: String,
        lag: Lag,
        inner: Inner,
        list: Vec<u16>,
        map: BTreeMap<String, bool>,
    }

    fn parse(text: &str) -> Node {
        Node::parse_file(Path::new("y.toml"), text).unwrap()
    }

    #[test]
    fn types_are_read_with_sizes_lists_of_one_and_nothing() {
        let text = "name = 'x'\nlag = 'catch_up'\ninner = {body_bytes_max = '64KiB', most = 'none'}\nlist = 1\nmap = {a = true}\n";
        let outer: Outer = read(&parse(text)).unwrap();
        assert_eq!(outer.inner, Inner { body_bytes_max: 65536, most: None });
        assert_eq!((outer.lag, outer.list), (Lag::CatchUp, vec![1]));
    }

    #[test]
    fn an_error_names_the_place_and_the_key() {
        let text = "name = 'x'\nlag = 'skip'\nlist = []\nmap = {}\n[inner]\n\nbody_bytes_max = 'much'\n";
        let error = read::<Outer>(&parse(text)).unwrap_err().to_string();
        assert!(error.starts_with("y.toml:7: inner.body_bytes_max: \"much\" is no size"), "{error}");
        let text = "name = 5\n";
        let error = read::<Outer>(&parse(text)).unwrap_err().to_string();
        assert!(error.starts_with("y.toml:1: name: invalid type: integer `5`"), "{error}");
        let text = "name = 'x'\nlag = 'slip'\n";
        let error = read::<Outer>(&parse(text)).unwrap_err().to_string();
        assert!(error.starts_with("y.toml:2: lag: unknown variant `slip`"), "{error}");
    }

    #[test]
    fn what_a_shell_passes_may_be_text_where_text_is_wanted() {
        let mut tree = parse("lag = 'skip'\nlist = []\nmap = {}\ninner = {body_bytes_max = 1}\n");
        let from = Origin::Set("name=0123.50".into());
        tree.overlay(Node::single(&["name".into()], "12.50", &from));
        assert_eq!(read::<Outer>(&tree).unwrap().name, "12.50");
    }
}
