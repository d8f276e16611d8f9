//! As much of JSON Schema 2020-12 as our schemas use. A word it does not know fails the test, so that no
//! rule of theirs goes unchecked.

use serde_json::Value;

/// A schema with its `$defs`.
pub(crate) struct Schema(Value);

impl Schema {
    pub(crate) fn new(schema: Value) -> Self {
        Self(schema)
    }

    /// The names of the commands or events.
    pub(crate) fn variants(&self) -> Vec<String> {
        let name = self.0["$ref"].as_str().unwrap().rsplit('/').next().unwrap();
        let variants = self.0["$defs"][name]["oneOf"].as_array().unwrap();
        variants.iter().map(|v| v["$ref"].as_str().unwrap().rsplit('/').next().unwrap().to_owned()).collect()
    }

    /// Checks a value.
    pub(crate) fn check(&self, value: &Value) -> Result<(), String> {
        self.fits(&self.0["$ref"], value)
    }

    fn fits(&self, reference: &Value, value: &Value) -> Result<(), String> {
        let name = reference.as_str().unwrap().strip_prefix("#/$defs/").unwrap();
        let schema = self.0["$defs"].get(name).unwrap_or_else(|| panic!("no definition of {name}"));
        self.applies(schema, value).map_err(|e| format!("{name}: {e}"))
    }

    fn applies(&self, schema: &Value, value: &Value) -> Result<(), String> {
        for (word, rule) in schema.as_object().unwrap() {
            self.rule(word, rule, schema, value).map_err(|e| format!("{word}: {e}"))?;
        }
        Ok(())
    }

    fn rule(&self, word: &str, rule: &Value, schema: &Value, value: &Value) -> Result<(), String> {
        let claim = |holds: bool| if holds { Ok(()) } else { Err(format!("not {rule}")) };
        let number = |rule: &Value| rule.as_f64().unwrap();
        match word {
            "description" | "contentEncoding" => Ok(()),
            "$ref" => self.fits(rule, value),
            "type" => claim(match rule.as_str().unwrap() {
                "object" => value.is_object(),
                "array" => value.is_array(),
                "string" => value.is_string(),
                "boolean" => value.is_boolean(),
                "number" => value.is_number(),
                "integer" => value.as_f64().is_some_and(|n| n.fract() == 0.0),
                other => panic!("unknown type {other}"),
            }),
            "const" => claim(value == rule),
            "enum" => claim(rule.as_array().unwrap().contains(value)),
            "minimum" => claim(value.as_f64().is_none_or(|n| n >= number(rule))),
            "maximum" => claim(value.as_f64().is_none_or(|n| n <= number(rule))),
            "minLength" => claim(value.as_str().is_none_or(|s| s.chars().count() as f64 >= number(rule))),
            "maxLength" => claim(value.as_str().is_none_or(|s| s.chars().count() as f64 <= number(rule))),
            "minItems" => claim(value.as_array().is_none_or(|a| a.len() as f64 >= number(rule))),
            "maxItems" => claim(value.as_array().is_none_or(|a| a.len() as f64 <= number(rule))),
            "maxProperties" => claim(value.as_object().is_none_or(|o| o.len() as f64 <= number(rule))),
            "pattern" => claim(value.as_str().is_none_or(|text| is_position(rule, text))),
            "required" => {
                let names = rule.as_array().unwrap().iter().map(|name| name.as_str().unwrap());
                claim(value.as_object().is_none_or(|o| names.clone().all(|name| o.contains_key(name))))
            }
            "dependentRequired" => claim(value.as_object().is_none_or(|o| {
                let mut rules = rule.as_object().unwrap().iter();
                rules.all(|(name, needs)| {
                    let mut needs = needs.as_array().unwrap().iter().map(|need| need.as_str().unwrap());
                    !o.contains_key(name) || needs.all(|need| o.contains_key(need))
                })
            })),
            "properties" => {
                for (name, rule) in rule.as_object().unwrap() {
                    if let Some(value) = value.get(name) {
                        self.applies(rule, value).map_err(|e| format!("{name}: {e}"))?;
                    }
                }
                Ok(())
            }
            "additionalProperties" => {
                assert!(schema.get("properties").is_none(), "not both are understood here");
                value.as_object().into_iter().flatten().try_for_each(|(_, value)| self.applies(rule, value))
            }
            "items" => value.as_array().into_iter().flatten().try_for_each(|item| self.applies(rule, item)),
            "not" => claim(self.applies(rule, value).is_err()),
            "oneOf" | "anyOf" => {
                let judged: Vec<_> =
                    rule.as_array().unwrap().iter().map(|rule| self.applies(rule, value)).collect();
                let fitting = judged.iter().filter(|judged| judged.is_ok()).count();
                let enough = if word == "oneOf" { fitting == 1 } else { fitting > 0 };
                if enough { Ok(()) } else { Err(format!("{fitting} fit: {judged:?}")) }
            }
            other => panic!("a word that is not understood here: {other}"),
        }
    }
}

/// The only pattern that our schemas have: a position's.
fn is_position(rule: &Value, text: &str) -> bool {
    assert_eq!(rule, r"^[0-9a-f]{1,4}\.[0-9a-f]{1,4}\.[0-9a-f]{1,8}\.[0-9a-f]{1,16}$");
    let parts: Vec<&str> = text.split('.').collect();
    let hex = |part: &str| part.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'));
    parts.len() == 4
        && parts.iter().zip([4, 4, 8, 16]).all(|(part, max)| (1..=max).contains(&part.len()) && hex(part))
}
