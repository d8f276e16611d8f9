//! `POST /im/v1/{op}`: one request, one question to the service.

use std::sync::Arc;

use bytes::Bytes;
use http::StatusCode;
use serde::de::IgnoredAny;
use yizhan_hub::{Refused, service::Ask};
use yizhan_net::{Request, Response};
use yizhan_talk::Again;

use crate::{
    acting::{ANONYMOUS, Acting},
    door::Inner,
    once::{Begun, is_key},
    problem::{Problem, json_body, refusal, shown},
};

/// The service that is asked.
const SERVICE: &str = "im/";
/// Bytes of an operation's name.
const OP_BYTES_MAX: usize = 100;
/// What an `Idempotency-Key` is.
const KEY: Problem =
    Problem::Field { name: "Idempotency-Key", expected: "1 to 255 visible ASCII characters" };

/// Answers a question.
pub(crate) async fn ask(door: Arc<Inner>, request: Request) -> Response {
    answered(&door, request).await.unwrap_or_else(refusal)
}

async fn answered(door: &Inner, mut request: Request) -> Result<Response, Problem> {
    let mut acting = Acting::of(&door.hub, &request).await?;
    let body = request.body_up_to(door.config.body_bytes_max).await?;
    check(&body)?;
    let op = op(request.param("op"))?;
    match key(&request)? {
        None => Ok(json_body(StatusCode::OK, question(door, &mut acting, op, body).await?)),
        Some(key) => once(door, &mut acting, op, &key, body).await,
    }
}

/// Asks where the same was not asked before under this key; else says what was said then.
async fn once(
    door: &Inner,
    acting: &mut Acting,
    op: &str,
    key: &str,
    body: Bytes,
) -> Result<Response, Problem> {
    let who = acting.principal();
    if &*who.user == ANONYMOUS {
        return Err(Problem::KeyOfNobody);
    }
    let begun = door.once.begin(door.hub.now().wall, &who.user, op, key, &body).await?;
    let first = match begun {
        Begun::Again(status, answer) => return Ok(json_body(status, answer)),
        Begun::First(first) => first,
    };
    let (status, answer) = match question(door, acting, op, body).await {
        Ok(told) => (StatusCode::OK, told),
        Err(refused) if refused.again() == Again::Never => shown(&refused.into()),
        // It may go better the next time: that one is asked anew.
        Err(refused) => return Err(refused.into()),
    };
    first.keep(door.hub.now().wall, status, &answer).await?;
    Ok(json_body(status, answer))
}

/// Asks the service; nothing told is an empty object.
async fn question(door: &Inner, acting: &mut Acting, op: &str, body: Bytes) -> Result<Bytes, Refused> {
    let ask = Ask { name: format!("{SERVICE}{op}").into(), body };
    let told = acting.ask(door.hub.now(), ask).await?;
    Ok(if told.is_empty() { Bytes::from_static(b"{}") } else { told })
}

/// Whether a body is one JSON object, or empty.
fn check(body: &[u8]) -> Result<(), Problem> {
    let body = body.trim_ascii();
    if body.is_empty() {
        return Ok(());
    }
    is_object(body)?;
    match serde_json::from_slice::<IgnoredAny>(body) {
        Ok(_) => Ok(()),
        Err(error) => Err(Problem::NotJson(error.to_string())),
    }
}

/// Whether a body begins as an object: fields could also be read from an array, in their order.
pub(crate) fn is_object(body: &[u8]) -> Result<(), Problem> {
    if body.trim_ascii().starts_with(b"{") {
        return Ok(());
    }
    Err(Problem::NotJson("an object in braces was expected".to_owned()))
}

/// The name of an operation.
fn op(name: &str) -> Result<&str, Problem> {
    let good = (1..=OP_BYTES_MAX).contains(&name.len()) && !name.chars().any(char::is_control);
    let expected = "the name of an operation, such as history, of at most 100 bytes";
    if good { Ok(name) } else { Err(Problem::Field { name: "op", expected }) }
}

/// The `Idempotency-Key` of a request. The draft's quotes around it are part of it.
fn key(request: &Request) -> Result<Option<String>, Problem> {
    let Some(value) = request.headers().get("idempotency-key") else { return Ok(None) };
    let key = value.to_str().ok().filter(|key| is_key(key)).ok_or(KEY)?;
    Ok(Some(key.to_owned()))
}
