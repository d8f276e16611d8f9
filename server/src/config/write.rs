//! The config, written: as it is in force, as a file to begin with, and as a reference.

use super::{
    docs::{Field, Manual, Shape, TypeName},
    sections::Config,
    units::{show_duration, show_size},
};

/// What stands before the reference.
const REFERENCE_HEAD: &str = "# Configuration

<!-- Made by `yizhan config reference`; a test says when it is stale. Change the doc comments, not this page. -->

No configuration is needed to begin. What is set comes from four layers; each lies over the ones before it:

1. what is built in (below as *default*; `--dev` has a few values of its own),
2. a file: `yizhan serve --config yizhan.toml` (TOML; `yizhan init` writes one with comments),
3. the environment: `YIZHAN_HTTP__LISTEN=127.0.0.1:9000` is `http.listen`; two underscores stand for the dot,
4. the command line: `--set http.listen=127.0.0.1:9000`, as often as needed; `--data DIR` is `--set server.data=DIR`.

Values of the last two are read as TOML where they are TOML, and as text otherwise, so quotes may be left out. `none` unsets
an optional value. Durations are texts such as `\"250ms\"`, `\"30s\"`, `\"5m\"`, `\"24h\"`, `\"7d\"`, or a number of seconds. Sizes are
a number of bytes or texts such as `\"64KiB\"`, `\"10MiB\"`, `\"1GB\"`. One value may stand for a list of one, and an address
for a table with this `listen`: `socket.tcp = \"0.0.0.0:8888\"`.

An unknown key or a value of the wrong kind is an error that names its file and line. `yizhan config check` looks for errors
without starting, `yizhan config show` prints what is in force, with secrets as `•••`.

`SIGHUP` reads file and environment again (see [running](../operations/running.md#reload)).
";

/// What stands before a file to begin with.
const INIT_HEAD: &str = "\
# The configuration of Yizhan. Every line that begins with '#' and a key shows the default:
# take the '#' away to change it. docs/reference/config.md says more.
";

/// The key of the spaces.
const SPACES: &str = "space";

/// The config in force, as TOML; secrets are hidden.
pub(crate) fn show(config: &Config) -> String {
    // Every section serializes to TOML: a test serializes them all.
    let table = toml::Table::try_from(config).unwrap_or_default();
    let mut writer = Writer { manual: &Manual::new(), text: String::new() };
    writer.table(&Manual::top(), &table, "", Style::PLAIN);
    writer.text.trim_start().to_owned()
}

/// The reference, as Markdown.
pub(crate) fn reference() -> String {
    let manual = Manual::new();
    let defaults = toml::Table::try_from(Config::built_in()).unwrap_or_default();
    let mut text = REFERENCE_HEAD.to_owned();
    section_reference(&manual, &Manual::top(), &defaults, "", &mut text);
    text
}

/// A file to begin with: everything as it is built in, commented out, the spaces ready to be changed.
pub(crate) fn init_file() -> String {
    let defaults = toml::Table::try_from(Config::built_in()).unwrap_or_default();
    let mut writer = Writer { manual: &Manual::new(), text: INIT_HEAD.to_owned() };
    writer.table(&Manual::top(), &defaults, "", Style::COMMENTED);
    writer.text
}

/// How a table is written.
#[derive(Clone, Copy)]
struct Style {
    /// With the doc comments above each key.
    docs: bool,
    /// Values as comments.
    commented: bool,
}

impl Style {
    const PLAIN: Self = Self { docs: false, commented: false };
    const COMMENTED: Self = Self { docs: true, commented: true };

    /// What stands before something that is a comment in this style.
    fn mark(self) -> &'static str {
        if self.commented { "# " } else { "" }
    }
}

/// Writes tables as TOML.
struct Writer<'m> {
    manual: &'m Manual,
    text: String,
}

impl Writer<'_> {
    fn table(&mut self, name: &TypeName, values: &toml::Table, path: &str, style: Style) {
        let (simple, deep): (Vec<_>, Vec<_>) = self
            .manual
            .fields(name)
            .into_iter()
            .partition(|(owner, field)| self.manual.shape(owner, field) == Shape::Value);
        for (_, field) in simple {
            self.value(name, &field, values.get(&field.key), style);
        }
        for (owner, field) in deep {
            let path = if path.is_empty() { field.key.clone() } else { format!("{path}.{}", field.key) };
            let shape = self.manual.shape(&owner, &field);
            self.deep(&field, shape, values.get(&field.key), &path, style);
        }
    }

    fn value(&mut self, within: &TypeName, field: &Field, value: Option<&toml::Value>, style: Style) {
        if style.docs {
            self.text.push('\n');
            self.comment(&field.doc);
            for word in self.manual.words(within, field) {
                self.text.push_str(&format!("#   \"{}\": {}\n", word.key, word.doc));
            }
        }
        match value {
            Some(value) => {
                let value = show_value(field, value);
                self.text.push_str(&format!("{}{} = {value}\n", style.mark(), field.key));
            }
            None if style.docs => self.text.push_str(&format!("# {} =\n", field.key)),
            None => {}
        }
    }

    fn deep(&mut self, field: &Field, shape: Shape, value: Option<&toml::Value>, path: &str, style: Style) {
        match (shape, value) {
            (Shape::Table(inner), Some(toml::Value::Table(table))) => {
                self.head(&inner, field, &format!("[{path}]"), style);
                self.table(&inner, table, path, style);
            }
            (Shape::Table(inner), None) if style.docs => {
                // Its being there means something, so it is a comment as a whole.
                self.head(&inner, field, &format!("# [{path}]"), style);
                self.table(&inner, &toml::Table::new(), path, style);
            }
            (Shape::Named(inner), Some(toml::Value::Table(tables))) => {
                if style.docs {
                    self.text.push('\n');
                    self.comment(&field.doc);
                    self.keys(&inner);
                }
                self.named(&inner, tables, path, style);
            }
            (Shape::Listed(inner), Some(toml::Value::Array(list))) => {
                if style.docs {
                    self.head(&inner, field, &format!("# [[{path}]]"), style);
                    self.keys(&inner);
                }
                for table in list.iter().filter_map(toml::Value::as_table) {
                    self.text.push_str(&format!("\n{}[[{path}]]\n", style.mark()));
                    self.table(&inner, table, path, Style { docs: false, ..style });
                }
            }
            _ => {}
        }
    }

    fn named(&mut self, inner: &TypeName, tables: &toml::Table, path: &str, style: Style) {
        // The spaces are no comments: a file's spaces stand instead of the built-in ones.
        let each = Style { docs: false, commented: style.commented && path != SPACES };
        for (name, table) in tables {
            let Some(table) = table.as_table() else { continue };
            self.text.push_str(&format!("\n{}[{path}.{name}]\n", each.mark()));
            let short = if style.docs { only_set(self.manual, inner, table) } else { table.clone() };
            self.table(inner, &short, path, each);
        }
    }

    fn head(&mut self, inner: &TypeName, field: &Field, head: &str, style: Style) {
        self.text.push('\n');
        if style.docs {
            let own = self.manual.declared(inner).map(|d| d.doc.clone()).unwrap_or_default();
            self.comment(if field.doc.is_empty() { &own } else { &field.doc });
        }
        self.text.push_str(&format!("{head}\n"));
    }

    /// The keys of a section that may stand there many times, as comments.
    fn keys(&mut self, name: &TypeName) {
        for (owner, field) in self.manual.fields(name) {
            let doc = field.doc.replace('\n', "\n#     ");
            self.text.push_str(&format!("#   {}: {doc}\n", field.key));
            for word in self.manual.words(&owner, &field) {
                self.text.push_str(&format!("#     \"{}\": {}\n", word.key, word.doc));
            }
        }
    }

    fn comment(&mut self, doc: &str) {
        for line in doc.lines() {
            self.text.push_str(format!("# {line}").trim_end());
            self.text.push('\n');
        }
    }
}

/// Of a named section only what differs from a new one: short, and what people would write.
fn only_set(manual: &Manual, name: &TypeName, table: &toml::Table) -> toml::Table {
    let new = new_section(name);
    let keys: Vec<String> = manual.fields(name).into_iter().map(|(_, field)| field.key).collect();
    let differs = |(key, value): &(&String, &toml::Value)| {
        keys.contains(key) && (new.get(*key) != Some(*value) || *key == "keep" || *key == "lag")
    };
    table.iter().filter(differs).map(|(k, v)| (k.clone(), v.clone())).collect()
}

fn section_reference(
    manual: &Manual,
    name: &TypeName,
    defaults: &toml::Table,
    path: &str,
    text: &mut String,
) {
    for (owner, field) in manual.fields(name) {
        let shape = manual.shape(&owner, &field);
        let path = if path.is_empty() { field.key.clone() } else { format!("{path}.{}", field.key) };
        let (inner, head, within) = match shape {
            Shape::Value => continue,
            Shape::Table(inner) => (inner, format!("[{path}]"), path.clone()),
            Shape::Named(inner) => (inner, format!("[{path}.NAME]"), format!("{path}.NAME")),
            Shape::Listed(inner) => (inner, format!("[[{path}]]"), path.clone()),
        };
        let one = head == format!("[{path}]");
        text.push_str(&format!("\n## `{head}`\n\n{}\n", field.doc));
        let values = match defaults.get(&field.key) {
            Some(toml::Value::Table(table)) if one => table.clone(),
            _ => new_section(&inner),
        };
        let mut rows = String::new();
        for (owner, field) in manual.fields(&inner) {
            if manual.shape(&owner, &field) == Shape::Value {
                rows.push_str(&row(manual, &owner, &field, values.get(&field.key)));
            }
        }
        if !rows.is_empty() {
            text.push_str(&format!("\n| key | default | meaning |\n|---|---|---|\n{rows}"));
        }
        if path == SPACES {
            text.push_str(&format!(
                "\nBuilt in:\n\n```toml\n{}```\n",
                built_in_spaces(manual, &inner, defaults)
            ));
        }
        section_reference(manual, &inner, &values, &within, text);
    }
}

/// The built-in spaces, with what differs from a new one.
fn built_in_spaces(manual: &Manual, inner: &TypeName, defaults: &toml::Table) -> String {
    let mut writer = Writer { manual, text: String::new() };
    if let Some(toml::Value::Table(spaces)) = defaults.get(SPACES) {
        let short = |(name, space): (&String, &toml::Value)| {
            Some((name.clone(), toml::Value::Table(only_set(manual, inner, space.as_table()?))))
        };
        let spaces: toml::Table = spaces.iter().filter_map(short).collect();
        writer.named(inner, &spaces, SPACES, Style::PLAIN);
    }
    writer.text.trim_start().to_owned()
}

/// The defaults of a section that may stand there many times.
fn new_section(name: &TypeName) -> toml::Table {
    match name.1.as_str() {
        #[cfg(feature = "mqtt")]
        "Config" if name.0 == "yizhan_mqtt::bridge" => {
            toml::Table::try_from(yizhan_mqtt::bridge::Config::default()).unwrap_or_default()
        }
        "SpaceConfig" => toml::Table::try_from(super::sections::SpaceConfig::default()).unwrap_or_default(),
        _ => toml::Table::new(),
    }
}

fn row(manual: &Manual, owner: &TypeName, field: &Field, default: Option<&toml::Value>) -> String {
    let default = default.map_or_else(|| "–".to_owned(), |v| format!("`{}`", show_value(field, v)));
    let mut doc = field.doc.replace("\n\n", "<br>").replace('\n', " ").replace('|', "\\|");
    for word in manual.words(owner, field) {
        doc.push_str(&format!("<br>`{}`: {}", word.key, word.doc.replace('\n', " ")));
    }
    format!("| `{}` | {default} | {doc} |\n", field.key)
}

/// A value as a person would write it.
fn show_value(field: &Field, value: &toml::Value) -> String {
    let counts_bytes = ["bytes", "size"].iter().any(|word| field.key.contains(word));
    match value {
        toml::Value::Integer(n) if field.kind == "Duration" => {
            let seconds = std::time::Duration::from_secs(u64::try_from(*n).unwrap_or(0));
            format!("\"{}\"", show_duration(seconds))
        }
        toml::Value::Float(n) if field.kind == "Duration" => {
            let seconds = std::time::Duration::try_from_secs_f64(*n).unwrap_or_default();
            format!("\"{}\"", show_duration(seconds))
        }
        toml::Value::Integer(n) if counts_bytes && *n >= 1024 => {
            format!("\"{}\"", show_size(u64::try_from(*n).unwrap_or(0)))
        }
        value => value.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use crate::config::Layers;

    /// Loads a text as a config file.
    fn load(text: &str) -> Config {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("y.toml");
        std::fs::write(&path, text).unwrap();
        Layers { file: Some(path), ..Layers::default() }.load().unwrap_or_else(|e| panic!("{e:#?}\n{text}"))
    }

    #[test]
    fn the_file_to_begin_with_is_what_is_built_in() {
        assert_eq!(load(&init_file()), Config::built_in());
    }

    #[test]
    fn what_is_shown_is_what_is_in_force_but_for_secrets() {
        let mut config =
            load("[identity.jwt]\nsecret = '0123456789abcdef0123456789abcdef'\n[log]\nlevel='warn'\n");
        let shown = show(&config);
        assert!(!shown.contains("0123456789abcdef") && shown.contains("secret = \"•••\""), "{shown}");
        config.identity.jwt.secret = None;
        assert_eq!(load(&shown.replace("secret = \"•••\"", "")), config);
    }

    /// Every key with its own `#` taken away: the doc comments' keys are keys, the defaults are values.
    #[test]
    fn the_file_to_begin_with_holds_every_key_ready() {
        let is_setting = |line: &str| {
            let Some(rest) = line.strip_prefix("# ") else { return false };
            let key = rest.split(" = ").next().unwrap_or_default();
            rest.contains(" = ")
                && key.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_')
        };
        let file = init_file();
        let lines: Vec<&str> = file.lines().filter(|line| !line.ends_with(" =")).collect();
        let mut text = String::new();
        for (i, line) in lines.iter().enumerate() {
            let is_head = line.starts_with("# [") && lines.get(i + 1).is_some_and(|next| is_setting(next));
            text.push_str(if is_head || is_setting(line) { &line[2..] } else { line });
            text.push('\n');
        }
        let config = load(&text);
        assert_eq!(config, Config::built_in());
    }

    /// If a doc comment's parser missed a field, its key would be unknown though serde takes it.
    #[test]
    fn the_manual_has_every_key_that_is_written() {
        fn walk(
            manual: &Manual,
            name: &TypeName,
            table: &toml::Table,
            path: &str,
            missing: &mut BTreeSet<String>,
        ) {
            let fields = manual.fields(name);
            for (key, value) in table {
                let Some((owner, field)) = fields.iter().find(|(_, f)| f.key == *key) else {
                    missing.insert(format!("{path}{key}"));
                    continue;
                };
                assert!(!field.doc.is_empty(), "{path}{key} has no doc comment");
                match (manual.shape(owner, field), value) {
                    (Shape::Table(inner), toml::Value::Table(table)) => {
                        walk(manual, &inner, table, &format!("{path}{key}."), missing);
                    }
                    (Shape::Named(inner), toml::Value::Table(tables)) => {
                        for (name, table) in tables {
                            walk(
                                manual,
                                &inner,
                                table.as_table().unwrap(),
                                &format!("{path}{key}.{name}."),
                                missing,
                            );
                        }
                    }
                    _ => {}
                }
            }
        }
        let mut missing = BTreeSet::new();
        let table = toml::Table::try_from(Config::built_in()).unwrap();
        walk(&Manual::new(), &Manual::top(), &table, "", &mut missing);
        assert!(missing.is_empty(), "{missing:?}");
    }

    #[cfg(all(feature = "socket", feature = "mqtt", feature = "admin"))]
    #[test]
    fn the_reference_is_fresh() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/reference/config.md");
        let written = std::fs::read_to_string(path).unwrap_or_default();
        assert!(written == reference(), "stale: run `yizhan config reference > docs/reference/config.md`");
    }
}
