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

/// The config in force, as TOML; secrets are hidden.
pub(crate) fn show(config: &Config) -> String {
    // Every section serializes to TOML: a test serializes them all.
    let table = toml::Table::try_from(config).unwrap_or_default();
    let manual = Manual::new();
    let mut text = String::new();
    write_table(&manual, &Manual::top(), &table, "", &mut text, &Style::plain());
    text.trim_start().to_owned()
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
    let manual = Manual::new();
    let defaults = toml::Table::try_from(Config::built_in()).unwrap_or_default();
    let mut text = String::from(
        "# The configuration of Yizhan. Every line that begins with '#' and a key shows the default:\n\
         # take the '#' away to change it. docs/reference/config.md says more.\n",
    );
    write_table(&manual, &Manual::top(), &defaults, "", &mut text, &Style::commented());
    text
}

/// How a table is written.
struct Style {
    /// With the doc comments above each key.
    docs: bool,
    /// Values as comments, but for those of the spaces.
    commented: bool,
}

impl Style {
    fn plain() -> Self {
        Self { docs: false, commented: false }
    }
    fn commented() -> Self {
        Self { docs: true, commented: true }
    }
}

fn write_table(
    manual: &Manual,
    name: &TypeName,
    values: &toml::Table,
    path: &str,
    text: &mut String,
    style: &Style,
) {
    let fields = manual.fields(name);
    let simple = |(owner, field): &&(TypeName, Field)| manual.shape(owner, field) == Shape::Value;
    for (_, field) in fields.iter().filter(simple) {
        if style.docs {
            text.push('\n');
            push_comment(&field.doc, text);
            for word in manual.words(name, field) {
                text.push_str(&format!("#   \"{}\": {}\n", word.key, word.doc));
            }
        }
        match values.get(&field.key) {
            Some(value) => {
                let value = show_value(field, value);
                let mark = if style.commented { "# " } else { "" };
                text.push_str(&format!("{mark}{} = {value}\n", field.key));
            }
            None if style.docs => text.push_str(&format!("# {} =\n", field.key)),
            None => {}
        }
    }
    for (owner, field) in fields.iter().filter(|f| !simple(f)) {
        let path = if path.is_empty() { field.key.clone() } else { format!("{path}.{}", field.key) };
        match (manual.shape(owner, field), values.get(&field.key)) {
            (Shape::Table(inner), Some(toml::Value::Table(table))) => {
                push_head(manual, &inner, field, &format!("[{path}]"), false, text, style);
                write_table(manual, &inner, table, &path, text, style);
            }
            (Shape::Named(inner), Some(toml::Value::Table(tables))) => {
                if style.docs {
                    text.push('\n');
                    push_comment(&field.doc, text);
                    push_keys(manual, &inner, text);
                }
                for (name, table) in tables {
                    if let toml::Value::Table(table) = table {
                        let plain = Style { docs: false, ..*style };
                        let set = only_set(manual, &inner, table);
                        let head = format!("[{path}.{name}]");
                        let spaces = Style { commented: style.commented && path != "space", ..plain };
                        text.push_str(&format!("\n{}{head}\n", if spaces.commented { "# " } else { "" }));
                        write_table(
                            manual,
                            &inner,
                            if style.docs { &set } else { table },
                            &path,
                            text,
                            &spaces,
                        );
                    }
                }
            }
            (Shape::Listed(inner), Some(toml::Value::Array(list))) => {
                if style.docs {
                    push_head(manual, &inner, field, &format!("[[{path}]]"), true, text, style);
                    push_keys(manual, &inner, text);
                }
                for table in list.iter().filter_map(toml::Value::as_table) {
                    text.push_str(&format!("\n{}[[{path}]]\n", if style.commented { "# " } else { "" }));
                    let plain = Style { docs: false, ..*style };
                    write_table(manual, &inner, table, &path, text, &plain);
                }
            }
            (Shape::Table(inner), None) if style.docs => {
                push_head(manual, &inner, field, &format!("[{path}]"), true, text, style);
                write_table(manual, &inner, &toml::Table::new(), &path, text, style);
            }
            _ => {}
        }
    }
}

/// Of a named section only what differs from a new one: short, and what people would write.
fn only_set(manual: &Manual, name: &TypeName, table: &toml::Table) -> toml::Table {
    let new = match name.1.as_str() {
        "SpaceConfig" => toml::Table::try_from(super::sections::SpaceConfig::default()).unwrap_or_default(),
        _ => toml::Table::new(),
    };
    let keys: Vec<String> = manual.fields(name).into_iter().map(|(_, field)| field.key).collect();
    let differs = |(key, value): &(&String, &toml::Value)| {
        keys.contains(key) && (new.get(*key) != Some(*value) || *key == "keep" || *key == "lag")
    };
    table.iter().filter(differs).map(|(k, v)| (k.clone(), v.clone())).collect()
}

fn push_head(
    manual: &Manual,
    inner: &TypeName,
    field: &Field,
    head: &str,
    hidden: bool,
    text: &mut String,
    style: &Style,
) {
    text.push('\n');
    if style.docs {
        let own = manual.declared(inner).map(|d| d.doc.clone()).unwrap_or_default();
        push_comment(if field.doc.is_empty() { &own } else { &field.doc }, text);
    }
    text.push_str(&format!("{}{head}\n", if hidden && style.commented { "# " } else { "" }));
}

/// The keys of a section that may stand there many times, as comments.
fn push_keys(manual: &Manual, name: &TypeName, text: &mut String) {
    for (owner, field) in manual.fields(name) {
        text.push_str(&format!("#   {}: ", field.key));
        text.push_str(&field.doc.replace('\n', "\n#     "));
        text.push('\n');
        for word in manual.words(&owner, &field) {
            text.push_str(&format!("#     \"{}\": {}\n", word.key, word.doc));
        }
    }
}

fn push_comment(doc: &str, text: &mut String) {
    for line in doc.lines() {
        text.push_str(format!("# {line}").trim_end());
        text.push('\n');
    }
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
        let (inner, head) = match shape {
            Shape::Value => continue,
            Shape::Table(inner) => (inner, format!("[{path}]")),
            Shape::Named(inner) => (inner, format!("[{path}.NAME]")),
            Shape::Listed(inner) => (inner, format!("[[{path}]]")),
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
        if path == "space" {
            text.push_str("\nBuilt in:\n\n```toml\n");
            let mut built_in = String::new();
            let mut only = toml::Table::new();
            only.extend(defaults.get("space").map(|spaces| ("space".to_owned(), spaces.clone())));
            if let Some(toml::Value::Table(spaces)) = only.get_mut("space") {
                for (_, space) in spaces.iter_mut() {
                    if let toml::Value::Table(table) = space {
                        *table = only_set(manual, &inner, table);
                    }
                }
            }
            write_table(manual, &Manual::top(), &only, "", &mut built_in, &Style::plain());
            text.push_str(built_in.trim_start());
            text.push_str("```\n");
        }
        section_reference(manual, &inner, &values, &path, text);
    }
}

/// The defaults of a section that may stand there many times.
fn new_section(name: &TypeName) -> toml::Table {
    match name.1.as_str() {
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

    #[test]
    fn the_reference_is_fresh() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/reference/config.md");
        let written = std::fs::read_to_string(path).unwrap_or_default();
        assert!(written == reference(), "stale: run `yizhan config reference > docs/reference/config.md`");
    }
}
