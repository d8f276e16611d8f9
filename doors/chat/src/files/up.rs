//! Files on their way up: begun with a name and a size, sent in pieces at offsets, done with the last byte. After a
//! break `HEAD` says how far it is (after draft-ietf-httpbis-resumable-upload).

use std::sync::Arc;

use bytes::Bytes;
use http::{HeaderName, HeaderValue, StatusCode, header};
use serde::Deserialize;
use serde_json::{Value, json};
use yizhan_hub::{Refused, service::Ask};
use yizhan_im::files::{FileRow, FileView};
use yizhan_net::{Request, Response, reply};

use super::{KEY_FOR, Shelf, stored};
use crate::{
    acting::Acting,
    ask::is_object,
    door::Inner,
    problem::{OFFSET, Problem, json_body, refusal},
};

/// How long it will be.
const LENGTH: HeaderName = HeaderName::from_static("upload-length");
/// Bytes of a file's name.
const NAME_BYTES_MAX: usize = 255;
/// Bytes of one piece, and of a file that is sent in one go.
const PIECE_BYTES_MAX: usize = 8 * 1024 * 1024;

/// `POST /im/v1/files`
pub(crate) async fn begin(door: Arc<Inner>, shelf: Arc<Shelf>, request: Request) -> Response {
    begun(&door, &shelf, request).await.unwrap_or_else(refusal)
}

async fn begun(door: &Inner, shelf: &Shelf, mut request: Request) -> Result<Response, Problem> {
    let mut acting = Acting::of(&door.hub, &request).await?;
    let body = request.body_up_to(door.config.body_bytes_max).await?;
    let (id, told) = start(door, shelf, &mut acting, body).await?;
    let mut response = json_body(StatusCode::CREATED, told);
    if let Ok(at) = HeaderValue::from_str(&format!("/im/v1/files/{id}")) {
        response.headers_mut().insert(header::LOCATION, at);
    }
    response.headers_mut().insert(OFFSET, HeaderValue::from(0));
    Ok(response)
}

/// Has the service note a new file, and makes room for it. Gives its id, and what the service told.
async fn start(
    door: &Inner,
    shelf: &Shelf,
    acting: &mut Acting,
    body: Bytes,
) -> Result<(String, Bytes), Problem> {
    #[derive(Deserialize)]
    struct Wish {
        name: String,
        bytes: u64,
    }
    #[derive(Deserialize)]
    struct Begun {
        file: String,
    }
    let not_json = |error: serde_json::Error| Problem::NotJson(error.to_string());
    is_object(&body)?;
    let Wish { name, bytes } = serde_json::from_slice(&body).map_err(not_json)?;
    if !(1..=NAME_BYTES_MAX).contains(&name.len()) {
        return Err(Problem::Field { name: "name", expected: "1 to 255 bytes" });
    }
    if bytes > shelf.config.upload_bytes_max {
        return Err(Problem::FileTooLarge(shelf.config.upload_bytes_max));
    }
    let told = acting.ask(door.hub.now(), Ask { name: "im/file_begin".into(), body }).await?;
    let Begun { file } = serde_json::from_slice(&told).map_err(not_json)?;
    shelf.files.begin(&file, bytes).await?;
    Ok((file, told))
}

/// `PUT /im/v1/files?name=`
pub(crate) async fn put(door: Arc<Inner>, shelf: Arc<Shelf>, request: Request) -> Response {
    put_all(&door, &shelf, request).await.unwrap_or_else(refusal)
}

async fn put_all(door: &Inner, shelf: &Shelf, mut request: Request) -> Result<Response, Problem> {
    let mut acting = Acting::of(&door.hub, &request).await?;
    let mut wish = json!({});
    for (name, value) in request.query() {
        match &*name {
            "name" | "conversation" => wish[&*name] = Value::from(&*value),
            "public" if matches!(&*value, "true" | "false") => wish["public"] = Value::from(value == "true"),
            "public" => return Err(Problem::Field { name: "public", expected: "true or false" }),
            _ => return Err(Problem::Field { name: "query", expected: "name, conversation and public" }),
        }
    }
    let max = PIECE_BYTES_MAX.min(usize::try_from(shelf.config.upload_bytes_max).unwrap_or(usize::MAX));
    let body = request.body_up_to(max).await?;
    wish["bytes"] = Value::from(body.len());
    let (id, _) = start(door, shelf, &mut acting, wish.to_string().into()).await?;
    shelf.files.append(&id, 0, body).await?;
    complete(shelf, &acting.principal().user, &id).await
}

/// `HEAD /im/v1/files/{id}` of an upload: how far it is. `None` where it is no upload of this user's.
pub(crate) async fn head(shelf: &Shelf, user: &str, id: &str) -> Result<Option<Response>, Problem> {
    let Some(row) = upload(shelf, user, id).await? else { return Ok(None) };
    if row.stored.is_some() {
        return Ok(None);
    }
    let offset = shelf.files.offset(id).await?;
    let mut response = reply::empty(StatusCode::OK);
    let headers = response.headers_mut();
    headers.insert(OFFSET, HeaderValue::from(offset));
    headers.insert(LENGTH, HeaderValue::from(row.bytes));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    Ok(Some(response))
}

/// `PATCH /im/v1/files/{id}`
pub(crate) async fn patch(door: Arc<Inner>, shelf: Arc<Shelf>, request: Request) -> Response {
    patched(&door, &shelf, request).await.unwrap_or_else(refusal)
}

async fn patched(door: &Inner, shelf: &Shelf, mut request: Request) -> Result<Response, Problem> {
    let acting = Acting::of(&door.hub, &request).await?;
    let (user, id) = (acting.principal().user.clone(), request.param("id").to_owned());
    let at = request.header(OFFSET.as_str()).and_then(|text| text.trim().parse().ok());
    let at: u64 = at.ok_or(Problem::Field { name: "Upload-Offset", expected: "a whole number" })?;
    let row = upload(shelf, &user, &id).await?.ok_or(Problem::NoFile)?;
    if row.stored.is_some() {
        // The answer to the last piece was lost: it is given again.
        return if at == row.bytes { shown(&id, &row) } else { Err(Problem::OffsetConflict(row.bytes)) };
    }
    let piece = request.body_up_to(PIECE_BYTES_MAX).await?;
    let offset = match piece.len() {
        0 => shelf.files.offset(&id).await?,
        _ => shelf.files.append(&id, at, piece).await?,
    };
    if offset == row.bytes {
        return complete(shelf, &user, &id).await;
    }
    let told = json!({ "file": id, "offset": offset, "complete": false });
    let mut response = json_body(StatusCode::OK, told.to_string());
    response.headers_mut().insert(OFFSET, HeaderValue::from(offset));
    Ok(response)
}

/// A file that this user uploads, or has uploaded.
async fn upload(shelf: &Shelf, user: &str, id: &str) -> Result<Option<FileRow>, Problem> {
    let row = shelf.im.file_row(id).await.map_err(Refused::from)?;
    Ok(row.filter(|row| row.owner == user))
}

/// All of it is there.
async fn complete(shelf: &Shelf, user: &str, id: &str) -> Result<Response, Problem> {
    let finished = shelf.files.finish(id).await?;
    let row = shelf.im.file_finished(user, id, stored(finished)).await.map_err(Refused::from)?;
    shown(id, &row)
}

fn shown(id: &str, row: &FileRow) -> Result<Response, Problem> {
    let view = FileView::of(id, row).map_err(Refused::from)?;
    // A plain struct with text keys is always written.
    let mut told = serde_json::to_value(view).unwrap_or_default();
    (told["offset"], told["complete"]) = (row.bytes.into(), true.into());
    let mut response = json_body(StatusCode::OK, told.to_string());
    response.headers_mut().insert(OFFSET, HeaderValue::from(row.bytes));
    Ok(response)
}

/// `POST /im/v1/file_key`
pub(crate) async fn key(door: Arc<Inner>, shelf: Arc<Shelf>, request: Request) -> Response {
    keyed(&door, &shelf, request).await.unwrap_or_else(refusal)
}

async fn keyed(door: &Inner, shelf: &Shelf, mut request: Request) -> Result<Response, Problem> {
    #[derive(Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Wish {
        file: String,
    }
    let mut acting = Acting::of(&door.hub, &request).await?;
    let body = request.body_up_to(door.config.body_bytes_max).await?;
    is_object(&body)?;
    let Wish { file } = serde_json::from_slice(&body).map_err(|error| Problem::NotJson(error.to_string()))?;
    shelf.file_for(door, &mut acting, &file).await?;
    let (key, until) = shelf.keys.make(door.hub.now().wall, &file).await?;
    let told = json!({ "key": key, "expires_at": until.as_millis(), "expires_in": KEY_FOR.as_secs() });
    Ok(json_body(StatusCode::OK, told.to_string()))
}
