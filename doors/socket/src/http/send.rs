//! `POST /v1/send`: a frame of commands, answered by an array.

use std::{collections::VecDeque, sync::Arc};

use bytes::BytesMut;
use http::StatusCode;
use yizhan_hub::{Link, Refused};
use yizhan_net::{Request, Response};
use yizhan_talk::{Connection as _, Out};

use super::{Acting, array, json_body, refusal, status_of_close};
use crate::{connection::Connection, door::Inner};

/// Bytes of all answers together; who asks for more gets 413.
const ANSWER_BYTES_MAX: usize = 16 * 1024 * 1024;

/// Takes the request's body as one frame of commands.
pub(crate) async fn send(door: Arc<Inner>, mut request: Request) -> Response {
    let body = match request.body_up_to(door.terms.config.frame_bytes_max).await {
        Ok(body) => body,
        Err(error) => return error.into(),
    };
    match door.acting(&request).await {
        Ok(acting) => run(&door, acting, BytesMut::from(body)).await,
        Err(refused) => refusal(refused),
    }
}

/// Runs the commands until all are answered.
async fn run(door: &Inner, mut acting: Acting, mut input: BytesMut) -> Response {
    let lasting = matches!(acting, Acting::Session(_));
    let now = door.hub.now();
    let mut connection = Connection::<Link>::replies(now, door.terms.clone(), lasting);
    let mut out = Out::new();
    let status = match connection.receive(now, &mut input, &mut out) {
        Ok(()) => StatusCode::OK,
        Err(fault) => status_of_close(&fault.0),
    };
    let mut started = VecDeque::new();
    loop {
        let now = door.hub.now();
        started.extend(out.calls.drain(..).map(|call| acting.start(now, call)));
        acting.flush(now);
        let Some(called) = started.pop_front() else { break };
        let answer = called.wait().await;
        connection.answer(door.hub.now(), answer, &mut out);
        let bytes = out.packets.bytes().len();
        if bytes > ANSWER_BYTES_MAX {
            return refusal(Refused::TooLarge { bytes, bytes_max: ANSWER_BYTES_MAX });
        }
    }
    debug_assert!(connection.is_settled(), "every call was answered");
    json_body(status, array(out.packets.iter()))
}
