//! Operations: what may be asked, with the shape of the question and of the answer. One table for all doors, and for
//! the document that describes them.

use bytes::Bytes;
use futures_util::future::BoxFuture;
use schemars::{JsonSchema, SchemaGenerator, generate::SchemaSettings};
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use serde_json::Value;
use yizhan_hub::service::Caller;

use super::{Live, denied::Wrong};
use crate::Name;

/// Who may ask.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Audience {
    /// Everybody, as far as the operation itself says.
    Everybody,
    /// Whose broadcast it is, and the server's owners and admins.
    Leaders,
    /// The server's owners and admins.
    Admins,
}

/// An operation as documents show it.
#[derive(Debug, Clone)]
pub struct Operation {
    /// Its name behind `live/`: `list`, `kick`.
    pub name: &'static str,
    /// What it does, in a sentence.
    pub summary: &'static str,
    /// Who may ask.
    pub audience: Audience,
    /// The JSON Schema (2020-12) of what is asked with it.
    pub input: Value,
    /// The JSON Schema (2020-12) of the answer.
    pub output: Value,
}

type Run = Box<dyn Fn(Live, Caller, Bytes) -> BoxFuture<'static, Result<Bytes, Wrong>> + Send + Sync>;

/// An operation that runs.
pub(crate) struct Op {
    pub(crate) name: &'static str,
    pub(crate) summary: &'static str,
    pub(crate) audience: Audience,
    schemas: fn() -> (Value, Value),
    pub(crate) run: Run,
}

/// An operation. Who of its audience asks is looked at by the operation itself, but for admins'.
pub(crate) fn op<I, O, R>(
    name: &'static str,
    audience: Audience,
    summary: &'static str,
    run: impl Fn(Live, Caller, I) -> R + Send + Sync + Copy + 'static,
) -> Op
where
    I: DeserializeOwned + JsonSchema + Send + 'static,
    O: Serialize + JsonSchema + 'static,
    R: Future<Output = Result<O, Wrong>> + Send + 'static,
{
    let run: Run = Box::new(move |live, caller, body| {
        let empty: &[u8] = b"{}";
        let body: &[u8] = if body.is_empty() { empty } else { &body };
        // A list of values would do for a struct, and nobody would know what is what.
        let is_object = body.iter().find(|b| !b.is_ascii_whitespace()) == Some(&b'{');
        let input = serde_json::from_slice::<I>(body);
        Box::pin(async move {
            if !is_object {
                return Err(Wrong::BadInput("a JSON object is wanted".into()));
            }
            let input = input.map_err(|error| Wrong::BadInput(error.to_string().into()))?;
            let output = run(live, caller, input).await?;
            // Answers are plain structs with text keys: nothing of them cannot be written as JSON.
            Ok(serde_json::to_vec(&output).unwrap_or_default().into())
        })
    });
    Op { name, summary, audience, schemas: || (schema::<I>(false), schema::<O>(true)), run }
}

fn schema<T: JsonSchema>(output: bool) -> Value {
    let settings = SchemaSettings::draft2020_12();
    let mut settings = if output { settings.for_serialize() } else { settings.for_deserialize() };
    // No type contains itself, and few are in two answers.
    settings.inline_subschemas = true;
    SchemaGenerator::new(settings).into_root_schema_for::<T>().to_value()
}

impl Op {
    pub(crate) fn shown(&self) -> Operation {
        let (input, output) = (self.schemas)();
        Operation { name: self.name, summary: self.summary, audience: self.audience, input, output }
    }
}

/// It was done, and there is nothing more to say.
#[derive(Debug, Clone, Copy, Default, Serialize, JsonSchema)]
pub(crate) struct Done {}

/// Just a broadcast.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct OfBroadcast {
    /// The app: `live`.
    pub app: String,
    /// The broadcast's name in it.
    pub name: String,
}

impl OfBroadcast {
    /// Its name.
    pub(crate) fn name(&self) -> Result<Name, Wrong> {
        Ok(Name::new(&self.app, &self.name)?)
    }
}
