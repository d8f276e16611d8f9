//! The document that describes the routes for machines: OpenAPI 3.1, made from the service's table of operations.

use serde_json::{Map, Value, json};
use yizhan_media::service::{Audience, Operation};

/// Writes the document.
#[must_use]
pub fn document(operations: &[Operation], version: &str) -> Value {
    let paths: Map<String, Value> = operations
        .iter()
        .map(|operation| (format!("/live/v1/{}", operation.name), json!({ "post": described(operation) })))
        .collect();
    json!({
        "openapi": "3.1.0",
        "info": {
            "title": "Yizhan live streaming",
            "version": version,
            "summary": "What is on air, who watches it, its chat's rules, tokens and recordings over HTTP.",
            "license": { "name": "Apache-2.0 OR MIT", "identifier": "Apache-2.0 OR MIT" },
        },
        "servers": [{ "url": "/" }],
        "security": [{ "token": [] }, { "account": [] }, {}],
        "tags": [
            { "name": "everybody", "description": "For everybody who may watch." },
            { "name": "leaders", "description": "For the publisher's account, and the server's owners and admins." },
            { "name": "admins", "description": "For the server's owners and admins." },
        ],
        "paths": paths,
        "components": {
            "schemas": { "Error": {
                "type": "object",
                "required": ["code", "reason", "again"],
                "properties": {
                    "type": { "const": "error" },
                    "code": { "type": "integer", "description": "See the page of numbers of errors." },
                    "reason": { "type": "string", "description": "For a person; do not parse it." },
                    "again": { "description": "`never`, `soon`, or seconds.", "type": ["string", "number"] },
                },
            } },
            "securitySchemes": {
                "token": { "type": "http", "scheme": "bearer" },
                "account": { "type": "http", "scheme": "basic" },
            },
        },
    })
}

fn described(operation: &Operation) -> Value {
    let tag = match operation.audience {
        Audience::Everybody => "everybody",
        Audience::Leaders => "leaders",
        Audience::Admins => "admins",
    };
    let (input, output) = (plain(&operation.input), plain(&operation.output));
    let needed = input["required"].as_array().is_some_and(|fields| !fields.is_empty());
    let refused = json!({
        "description": "It was not done.",
        "content": { "application/json": { "schema": { "$ref": "#/components/schemas/Error" } } },
    });
    json!({
        "operationId": operation.name.replace('/', "_"),
        "summary": operation.summary,
        "tags": [tag],
        "requestBody": { "required": needed, "content": { "application/json": { "schema": input } } },
        "responses": {
            "200": { "description": "Done.", "content": { "application/json": { "schema": output } } },
            "4XX": refused,
            "5XX": refused,
        },
    })
}

/// A schema as a part of the document.
fn plain(schema: &Value) -> Value {
    let mut schema = schema.clone();
    if let Some(fields) = schema.as_object_mut() {
        fields.remove("$schema");
    }
    schema
}

#[cfg(test)]
mod tests {
    use yizhan_media::service::Live;

    use super::*;

    #[test]
    fn every_operation_is_described_and_nothing_refers_nowhere() {
        let operations = Live::operations();
        let document = document(&operations, "1");
        assert_eq!(document["paths"].as_object().unwrap().len(), operations.len());
        let text = document.to_string();
        assert!(!text.contains("$defs") && !text.contains("$schema"), "{text}");
        let kick = &document["paths"]["/live/v1/kick"]["post"];
        assert_eq!((&kick["tags"][0], &kick["requestBody"]["required"]), (&json!("leaders"), &json!(true)));
        let fields = &kick["requestBody"]["content"]["application/json"]["schema"]["properties"];
        assert!(fields["viewer"].is_object(), "{kick}");
    }
}
