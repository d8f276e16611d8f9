//! The document that describes the routes for machines: OpenAPI 3.1, made from the service's table of operations.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Map, Value, json};
use yizhan_im::{Audience, Operation};

/// What a reference inside a schema begins with.
const DEFS: &str = "#/$defs/";
/// What it begins with in the document.
const SCHEMAS: &str = "#/components/schemas/";

/// Writes the document.
#[must_use]
pub fn document(operations: &[Operation], version: &str) -> Value {
    let mut schemas = Schemas::default();
    let mut paths = Map::new();
    for operation in operations {
        let path = format!("/im/v1/{}", operation.name);
        paths.insert(path, json!({ "post": described(operation, &mut schemas) }));
    }
    let own: Value = serde_json::from_str(include_str!("openapi/own.json")).unwrap_or_default();
    for (part, into) in [("paths", &mut paths), ("schemas", &mut schemas.put)] {
        for (name, value) in own[part].as_object().into_iter().flatten() {
            into.insert(name.clone(), value.clone());
        }
    }
    json!({
        "openapi": "3.1.0",
        "info": {
            "title": "Yizhan instant messaging",
            "version": version,
            "summary": "Conversations, messages, people, files and administration over HTTP.",
            "license": { "name": "Apache-2.0 OR MIT", "identifier": "Apache-2.0 OR MIT" },
        },
        "servers": [{ "url": "/" }],
        "security": [{ "token": [] }, { "account": [] }, { "session": [] }],
        "tags": [
            { "name": "chat", "description": "For every user." },
            { "name": "files", "description": "Files that messages carry." },
            { "name": "admin", "description": "For the server's owners and admins." },
        ],
        "paths": paths,
        "components": {
            "schemas": schemas.put,
            "securitySchemes": own["securitySchemes"],
            "parameters": own["parameters"],
            "headers": own["headers"],
            "responses": own["responses"],
        },
    })
}

fn described(operation: &Operation, schemas: &mut Schemas) -> Value {
    let tag = match operation.audience {
        Audience::Everybody => "chat",
        Audience::Admins => "admin",
    };
    let (input, output) = (schemas.hoist(&operation.input), schemas.hoist(&operation.output));
    json!({
        "operationId": operation.name.replace('/', "_"),
        "summary": operation.summary,
        "tags": [tag],
        "parameters": [{ "$ref": "#/components/parameters/IdempotencyKey" }],
        "requestBody": {
            "required": needs_body(&input),
            "content": { "application/json": { "schema": input } },
        },
        "responses": {
            "200": {
                "description": "Done.",
                "headers": { "X-Request-Id": { "$ref": "#/components/headers/RequestId" } },
                "content": { "application/json": { "schema": output } },
            },
            "4XX": { "$ref": "#/components/responses/Error" },
            "5XX": { "$ref": "#/components/responses/Error" },
        },
    })
}

/// Whether an empty body, which counts as `{}`, would not do.
fn needs_body(input: &Value) -> bool {
    let fields = input["required"].as_array().is_some_and(|fields| !fields.is_empty());
    fields || input.get("oneOf").is_some() || input.get("anyOf").is_some()
}

/// The document's schemas.
#[derive(Default)]
struct Schemas {
    put: Map<String, Value>,
    /// By a definition's name and all that it refers to, its name in the document.
    known: BTreeMap<(String, String), String>,
}

impl Schemas {
    /// Moves a schema's definitions into the document, and gives the schema with references that lead there. A type
    /// that looks the same in several operations stands there once; one that looks different under the same name (as
    /// question and as answer) gets a number.
    fn hoist(&mut self, root: &Value) -> Value {
        let mut root = root.clone();
        let mut defs = Map::new();
        if let Some(fields) = root.as_object_mut() {
            fields.remove("$schema");
            if let Some(Value::Object(found)) = fields.remove("$defs") {
                defs = found;
            }
        }
        if refers_to_root(&root) || defs.values().any(refers_to_root) {
            // A type that contains itself is a definition like others.
            let name = root["title"].as_str().unwrap_or("Root").to_owned();
            defs.insert(name.clone(), root);
            for def in defs.values_mut() {
                rename(def, &|reference| (reference == "#").then(|| format!("{DEFS}{name}")));
            }
            root = json!({ "$ref": format!("{DEFS}{name}") });
        }
        let names: BTreeMap<String, String> =
            defs.keys().map(|name| (name.clone(), self.name_for(name, &defs))).collect();
        let lead = |reference: &str| {
            let name = names.get(reference.strip_prefix(DEFS)?)?;
            Some(format!("{SCHEMAS}{name}"))
        };
        for (name, mut def) in defs {
            rename(&mut def, &lead);
            self.put.insert(names[&name].clone(), def);
        }
        rename(&mut root, &lead);
        root
    }

    /// The name in the document for a definition.
    fn name_for(&mut self, name: &str, defs: &Map<String, Value>) -> String {
        let looks = looks(name, defs);
        if let Some(known) = self.known.get(&(name.to_owned(), looks.clone())) {
            return known.clone();
        }
        let taken: BTreeSet<&String> = self.known.values().collect();
        let mut free = name.to_owned();
        let mut number = 2;
        while taken.contains(&free) {
            free = format!("{name}{number}");
            number += 1;
        }
        self.known.insert((name.to_owned(), looks), free.clone());
        free
    }
}

/// A definition with all that it refers to, as a text.
fn looks(name: &str, defs: &Map<String, Value>) -> String {
    let (mut all, mut next) = (BTreeMap::new(), vec![name.to_owned()]);
    while let Some(name) = next.pop() {
        let Some(def) = defs.get(&name).filter(|_| !all.contains_key(&name)) else { continue };
        all.insert(name, def);
        each_reference(def, &mut |reference| {
            next.extend(reference.strip_prefix(DEFS).map(str::to_owned));
        });
    }
    // Maps with text keys are always written.
    serde_json::to_string(&all).unwrap_or_default()
}

fn refers_to_root(schema: &Value) -> bool {
    let mut found = false;
    each_reference(schema, &mut |reference| found |= reference == "#");
    found
}

fn each_reference(schema: &Value, heard: &mut dyn FnMut(&str)) {
    match schema {
        Value::Object(fields) => {
            for (name, value) in fields {
                match value {
                    Value::String(reference) if name == "$ref" => heard(reference),
                    _ => each_reference(value, heard),
                }
            }
        }
        Value::Array(items) => items.iter().for_each(|item| each_reference(item, heard)),
        _ => {}
    }
}

/// Puts other references in the place of those that `to` knows.
fn rename(schema: &mut Value, to: &dyn Fn(&str) -> Option<String>) {
    match schema {
        Value::Object(fields) => {
            for (name, value) in fields {
                match value {
                    Value::String(reference) if name == "$ref" => {
                        if let Some(other) = to(reference) {
                            *reference = other;
                        }
                    }
                    _ => rename(value, to),
                }
            }
        }
        Value::Array(items) => items.iter_mut().for_each(|item| rename(item, to)),
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn operation(name: &'static str, input: Value, output: Value) -> Operation {
        let audience = if name.starts_with("admin/") { Audience::Admins } else { Audience::Everybody };
        Operation { name, summary: "Does it.", audience, input, output }
    }

    fn every_reference_leads_somewhere(document: &Value) {
        each_reference(document, &mut |reference| {
            let pointer = reference.strip_prefix('#').unwrap();
            assert!(document.pointer(pointer).is_some(), "{reference}");
        });
    }

    #[test]
    fn types_of_one_look_stand_there_once_and_others_get_a_number() {
        let content = json!({ "type": "object", "properties": { "text": { "type": "string" } } });
        let schema = |content: &Value| {
            json!({
                "$schema": "https://json-schema.org/draft/2020-12/schema", "title": "Send", "type": "object",
                "properties": { "content": { "$ref": "#/$defs/Content" } }, "required": ["content"],
                "$defs": { "Content": content },
            })
        };
        let other =
            json!({ "type": "object", "properties": { "text": { "type": "string" } }, "required": ["text"] });
        let document = document(
            &[
                operation("send", schema(&content), schema(&other)),
                operation("admin/send_as", schema(&content), schema(&other)),
            ],
            "1",
        );
        every_reference_leads_somewhere(&document);
        let of = |path: &str, pointer: &str| {
            let schema = document["paths"][path]["post"].pointer(pointer).unwrap();
            schema["properties"]["content"]["$ref"].clone()
        };
        let (input, output) = (
            "/requestBody/content/application~1json/schema",
            "/responses/200/content/application~1json/schema",
        );
        for path in ["/im/v1/send", "/im/v1/admin/send_as"] {
            assert_eq!(of(path, input), "#/components/schemas/Content");
            assert_eq!(of(path, output), "#/components/schemas/Content2");
        }
        let post = &document["paths"]["/im/v1/admin/send_as"]["post"];
        assert_eq!((&post["tags"][0], &post["operationId"]), (&json!("admin"), &json!("admin_send_as")));
        assert!(!document.to_string().contains("$defs") && !document.to_string().contains("$schema"));
    }

    #[test]
    fn a_type_that_contains_itself_is_a_definition() {
        let tree = json!({
            "title": "Tree", "type": "object",
            "properties": { "left": { "anyOf": [{ "$ref": "#" }, { "type": "null" }] } },
        });
        let document = document(&[operation("tree", tree.clone(), tree)], "1");
        every_reference_leads_somewhere(&document);
        let left = &document["components"]["schemas"]["Tree"]["properties"]["left"]["anyOf"][0]["$ref"];
        assert_eq!(*left, "#/components/schemas/Tree");
    }

    #[test]
    fn the_doors_own_routes_are_described() {
        let document = document(&Vec::new(), "1");
        every_reference_leads_somewhere(&document);
        assert!(document["components"]["responses"]["Error"].is_object());
    }
}
