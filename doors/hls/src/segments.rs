//! What playlists list: segments, parts, and what they begin with. Whoever knows a name may have it: names cannot be
//! guessed, and caches in front may give them to anybody.

use http::StatusCode;
use yizhan_net::{Request, Response, reply};

use crate::{
    admit::{cookie, keep, name},
    door::{Inner, fleeting, nothing},
    names::{File, Piece, Rendition, Tag},
    respond,
    stage::{Awaited, Found, Stage},
};

/// `/{app}/{name}/TAG-…`
pub(crate) async fn piece(
    inner: &Inner,
    request: &Request,
    tag: &Tag,
    rendition: Rendition,
    piece: Piece,
) -> Response {
    let name = match name(request, request.param("file")) {
        Ok(name) => name,
        Err(response) => return response,
    };
    let Some(stage) = inner.stages.find(&name).filter(|stage| stage.tag == *tag) else { return nothing() };
    let mut found = stage.piece(rendition, piece);
    if let (Found::Nowhere, Piece::Part(segment, part)) = (&found, piece)
        && is_next(&stage, segment, part)
    {
        // A preload hint's (rfc8216bis §6.2.2): it waits until the part is there.
        let until = inner.clock.now().steady + keep(stage.target_duration());
        match stage.wait(rendition, Awaited::Part(segment, part), until).await {
            Ok(_) => found = stage.piece(rendition, piece),
            Err(_) => return busy(),
        }
    }
    match found {
        Found::Here(pieces) => {
            if let Some(key) = cookie(request, &name) {
                inner.sessions.sent(key, pieces.iter().map(|piece| piece.len() as u64).sum());
            }
            let etag = File::Made { tag: tag.clone(), rendition, piece }.to_string();
            respond::pieces(request, pieces, rendition.media_type(), &etag, &inner.lasting)
        }
        Found::Gone => {
            fleeting(reply::error(StatusCode::GONE, "this segment was there and is not kept any more"))
        }
        Found::Nowhere => nothing(),
    }
}

/// Whether this part is the one that comes next.
fn is_next(stage: &Stage, segment: u64, part: u32) -> bool {
    let edge = stage.edge(Rendition::Ts);
    !edge.ended && segment == edge.next && part == edge.parts
}

/// As many requests wait as may.
pub(crate) fn busy() -> Response {
    fleeting(reply::error(
        StatusCode::SERVICE_UNAVAILABLE,
        "too many wait for this, or it does not come: ask again",
    ))
}
