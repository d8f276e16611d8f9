//! The reference of instant messaging, as Markdown: every operation and every shape, from the document that the chat
//! door makes of the service's own table.

use serde_json::{Map, Value};
use yizhan_im::{Im, Operation};

/// What stands before the operations.
const HEAD: &str = "# Instant messaging: operations

<!-- Made by `yizhan im reference`; a test says when it is stale. Change the doc comments in services/im, not this page. -->

What can be asked of the service `im`. Each operation is the same at every door:

| door | question | answer |
|---|---|---|
| [`yizhan.v1`](protocol.md#ask) | `{\"type\":\"ask\",\"id\":7,\"to\":\"im/send\",\"data\":{…}}` | `{\"type\":\"told\",\"re\":7,\"data\":{…}}` |
| [HTTP](http-im.md) | `POST /im/v1/send` with `{…}` | 200 with `{…}` |
| [JavaScript](../guide/javascript.md) | `await im.ask('send', {…})` | the object |

A field with `?` may be left out. Unknown fields are refused. Times are milliseconds since 1970 unless a name ends in `_s` (seconds). Refusals have the
[numbers from 600 on](errors.md#instant-messaging), and nothing of what was asked was done then. What the server tells by itself is on the page of [events](im-events.md); what the words mean is in
[Conversations](../concepts/conversations.md).
";

/// What begins a reference to a shape.
const SHAPES: &str = "#/components/schemas/";

/// Operations that belong together, in the order of the page. What is in none of them comes behind.
const PARTS: [(&str, &[&str]); 10] = [
    ("Devices", &["attach", "devices", "logout_others"]),
    ("Conversations", &["list", "conversation", "open", "settings", "clear"]),
    (
        "Messages",
        &[
            "send", "history", "message", "changes", "edit", "edits", "recall", "delete", "react", "pin",
            "pins", "typing", "search",
        ],
    ),
    ("Receipts", &["read", "delivered", "receipts"]),
    (
        "Groups and channels",
        &[
            "create",
            "update",
            "members",
            "add",
            "remove",
            "leave",
            "join",
            "invitations",
            "decline",
            "requests",
            "decide",
            "link",
            "unlink",
            "discover",
            "member",
            "dismiss",
        ],
    ),
    ("Roles and rules", &["role", "transfer", "mute", "allow", "ban", "unban", "banned"]),
    ("Chatrooms", &["room", "room_set"]),
    ("People", &["profile", "profiles", "set_profile", "find", "status", "presence", "privacy", "dnd"]),
    (
        "Friends",
        &["friends", "befriend", "befriended", "unfriend", "remark", "block", "unblock", "blocked", "report"],
    ),
    ("Files", &["file_begin", "file", "shared_files", "file_delete"]),
];

/// The reference.
pub(crate) fn reference() -> String {
    let operations = Im::operations();
    let document = yizhan_chat::openapi::document(&operations, "");
    let none = Map::new();
    let shapes = document["components"]["schemas"].as_object().unwrap_or(&none);
    let mut page = Page { document: &document, shapes, text: HEAD.to_owned() };
    let in_part = |operation: &&Operation| PARTS.iter().any(|(_, names)| names.contains(&operation.name));
    for (title, names) in PARTS {
        let found = names.iter().filter_map(|name| operations.iter().find(|o| o.name == *name));
        page.part(title, found);
    }
    let rest = || operations.iter().filter(|operation| !in_part(operation));
    page.part("Everything else", rest().filter(|operation| !operation.name.starts_with("admin/")));
    page.part("For operators", rest().filter(|operation| operation.name.starts_with("admin/")));
    page.all_shapes();
    page.text
}

/// A page on its way.
struct Page<'a> {
    document: &'a Value,
    shapes: &'a Map<String, Value>,
    text: String,
}

impl Page<'_> {
    fn part<'o>(&mut self, title: &str, operations: impl Iterator<Item = &'o Operation>) {
        let mut operations = operations.peekable();
        if operations.peek().is_some() {
            self.line(&format!("## {title}\n"));
        }
        for operation in operations {
            self.operation(operation);
        }
    }

    fn line(&mut self, line: &str) {
        self.text.push('\n');
        self.text.push_str(line);
    }

    fn operation(&mut self, operation: &Operation) {
        self.line(&format!("### `im/{}`\n", operation.name));
        self.line(&format!("{}\n", operation.summary));
        let path = format!("/im/v1/{}", operation.name);
        let described = &self.document["paths"][&path]["post"];
        let input = &described["requestBody"]["content"]["application/json"]["schema"];
        let output = &described["responses"]["200"]["content"]["application/json"]["schema"];
        if has_fields(input) {
            self.fields(input);
        } else {
            self.line("Asked with `{}`.\n");
        }
        match (self.name_of(output), has_fields(output)) {
            (Some(name), _) => self.line(&format!("Answer: {}.\n", link(&name))),
            (None, true) => {
                self.line("Answer:\n");
                self.fields(output);
            }
            (None, false) => self.line("Answer: `{}`.\n"),
        }
    }

    /// The name under which a shape stands on this page, where it does.
    fn name_of(&self, schema: &Value) -> Option<String> {
        if let Some(name) = schema["$ref"].as_str().and_then(|name| name.strip_prefix(SHAPES)) {
            return Some(name.to_owned());
        }
        let title = schema["title"].as_str()?;
        let mut same = schema.clone();
        same.as_object_mut()?.remove("title");
        (self.shapes.get(title) == Some(&same)).then(|| title.to_owned())
    }

    /// A table of an object's fields, those that must be there first.
    fn fields(&mut self, schema: &Value) {
        let required = |name: &str| {
            schema["required"].as_array().is_some_and(|all| all.iter().any(|field| field == name))
        };
        let mut fields: Vec<(&String, &Value)> =
            schema["properties"].as_object().into_iter().flatten().collect();
        fields.sort_by_key(|(name, _)| !required(name));
        self.line("| field | type | meaning |\n|---|---|---|\n");
        for (name, field) in fields {
            let optional = if required(name) { "" } else { "?" };
            let (kind, meaning) = (kind(field), sentence(field));
            self.text.push_str(&format!("| `{name}`{optional} | {kind} | {meaning} |\n"));
        }
    }

    fn all_shapes(&mut self) {
        self.line("## Shapes\n");
        self.line("What several operations speak of.\n");
        let mut used = std::collections::BTreeSet::new();
        for operation in Im::operations() {
            references(&self.document["paths"][format!("/im/v1/{}", operation.name)], self.shapes, &mut used);
        }
        for name in used {
            let Some(schema) = self.shapes.get(&name) else { continue };
            self.line(&format!("### {name}\n"));
            let said = sentence(schema);
            if !said.is_empty() {
                self.line(&format!("{said}\n"));
            }
            self.shape(schema);
        }
    }

    fn shape(&mut self, schema: &Value) {
        let Some(variants) = schema["oneOf"].as_array() else {
            if let Some(words) = schema["enum"].as_array() {
                self.text.push('\n');
                for word in words {
                    self.text.push_str(&format!("- `{}`\n", word.as_str().unwrap_or_default()));
                }
                return;
            }
            return self.fields(schema);
        };
        if variants.iter().any(has_fields) {
            for variant in variants {
                self.line(&format!("{}\n", sentence(variant)));
                self.fields(variant);
            }
            return;
        }
        self.line("| word | meaning |\n|---|---|\n");
        for variant in variants {
            let words = variant["const"].as_str().into_iter();
            for word in
                words.chain(variant["enum"].as_array().into_iter().flatten().filter_map(Value::as_str))
            {
                self.text.push_str(&format!("| `{word}` | {} |\n", sentence(variant)));
            }
        }
    }
}

/// The shapes that something speaks of, and those that they speak of.
fn references(value: &Value, shapes: &Map<String, Value>, into: &mut std::collections::BTreeSet<String>) {
    match value {
        Value::Object(fields) => {
            for (name, value) in fields {
                match value.as_str().filter(|_| name == "$ref").and_then(|name| name.strip_prefix(SHAPES)) {
                    Some("Error") => {}
                    Some(shape) if into.insert(shape.to_owned()) => {
                        references(shapes.get(shape).unwrap_or(&Value::Null), shapes, into);
                    }
                    _ => references(value, shapes, into),
                }
            }
        }
        Value::Array(values) => values.iter().for_each(|value| references(value, shapes, into)),
        _ => {}
    }
}

fn has_fields(schema: &Value) -> bool {
    schema["properties"].as_object().is_some_and(|fields| !fields.is_empty())
}

fn link(name: &str) -> String {
    format!("[{name}](#{})", name.to_lowercase())
}

/// A description as a cell of a table: one line.
fn sentence(schema: &Value) -> String {
    schema["description"].as_str().unwrap_or_default().replace('\n', " ").replace('|', "\\|")
}

/// What may stand in a field, in a word.
fn kind(schema: &Value) -> String {
    if let Some(name) = schema["$ref"].as_str().and_then(|name| name.strip_prefix(SHAPES)) {
        return link(name);
    }
    if let Some(word) = schema["const"].as_str() {
        return format!("`{word}`");
    }
    let choices = ["anyOf", "oneOf", "allOf"].iter().find_map(|name| schema[*name].as_array());
    if let Some(choices) = choices {
        let known: Vec<String> = choices.iter().filter(|choice| choice["type"] != "null").map(kind).collect();
        return known.join(" or ");
    }
    let types: Vec<&str> = match &schema["type"] {
        Value::String(one) => vec![one],
        Value::Array(several) => several.iter().filter_map(Value::as_str).filter(|t| *t != "null").collect(),
        _ => return "anything".to_owned(),
    };
    let one = |name: &&str| match *name {
        "string" => "text".to_owned(),
        "array" => match (&schema["prefixItems"], &schema["items"]) {
            (Value::Array(each), _) => format!("[{}]", each.iter().map(kind).collect::<Vec<_>>().join(", ")),
            (_, items) => format!("list of {}", kind(items)),
        },
        "object" if schema["additionalProperties"].is_object() => {
            format!("object of {}", kind(&schema["additionalProperties"]))
        }
        other => other.to_owned(),
    };
    types.iter().map(one).collect::<Vec<_>>().join(" or ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[cfg(feature = "search")]
    #[test]
    fn the_reference_is_fresh() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/reference/im.md");
        let written = std::fs::read_to_string(path).unwrap_or_default();
        assert!(written == reference(), "stale: run `yizhan im reference > docs/reference/im.md`");
    }

    #[test]
    fn every_part_names_operations_that_there_are() {
        let operations = Im::operations();
        for name in PARTS.iter().flat_map(|(_, names)| *names) {
            assert!(operations.iter().any(|operation| operation.name == *name), "{name}");
        }
    }
}
