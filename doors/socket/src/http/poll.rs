//! `GET /v1/poll`: long-poll, for clients that can do nothing else.
//!
//! Between two requests a session's link lies in its seat here. A request takes it out and lets it run as
//! the response's body until there is something, and the body's end puts it back. The last response is
//! kept until the next request acknowledges it.

mod body;

use std::{
    sync::{Arc, atomic::AtomicBool},
    time::{Duration, Instant},
};

use bytes::{Bytes, BytesMut};
use futures_util::task::AtomicWaker;
use http::{HeaderValue, StatusCode};
use parking_lot::Mutex;
use rustc_hash::FxHashMap;
use yizhan_hub::{Link, Refused, SessionId, StoreError, link::Opened};
use yizhan_net::{Body, EventBody, Request, Response};
use yizhan_talk::{Backend as _, Connection as _, Now, Out, Timestamp};

use super::{array, json_body, opening::Opening, peer, refusal, session_of};
use crate::{connection::Connection, door::Inner, wire::Wrong};
use body::{Parked, Poll};

/// How long a request waits that does not say.
const WAIT: Duration = Duration::from_secs(25);
/// How long a request waits at most.
const WAIT_MAX: Duration = Duration::from_secs(60);
/// How long a poll's session sleeps once its link was given up.
const SLEEP: Duration = Duration::from_secs(1);
/// The header with the number of a response.
const NUMBER: &str = "yizhan-poll";

/// All sessions that are open by long-poll.
#[derive(Debug, Default)]
pub(crate) struct Polls {
    seats: Mutex<FxHashMap<SessionId, Arc<Seat>>>,
}

/// One of them.
#[derive(Debug)]
pub(crate) struct Seat {
    secret: Arc<str>,
    expires_at: Option<Timestamp>,
    state: Mutex<State>,
    /// Another request of this session has come: the one that waits is to end.
    wanted: AtomicBool,
    waiter: AtomicWaker,
}

#[derive(Debug)]
struct State {
    /// The link, while no request waits; `None` for good once the talk is over.
    link: Option<Link>,
    /// A request waits.
    busy: bool,
    /// The number of the last response.
    number: u64,
    /// The last response, if it may have to be given again.
    kept: Option<Bytes>,
    used: Instant,
}

impl Polls {
    /// Ends sessions whose client stayed away.
    pub(crate) fn sweep(&self, now: Now, keep: Duration) {
        let stale = |seat: &Arc<Seat>| {
            let state = seat.state.lock();
            !state.busy && (state.link.is_none() || state.used + keep <= now.steady)
        };
        let gone: Vec<Arc<Seat>> = {
            let mut seats = self.seats.lock();
            let ids: Vec<SessionId> =
                seats.iter().filter(|(_, seat)| stale(seat)).map(|(id, _)| *id).collect();
            ids.iter().filter_map(|id| seats.remove(id)).collect()
        };
        // Links end outside of the lock.
        drop(gone);
    }

    fn find(&self, session: SessionId, secret: &str) -> Option<Arc<Seat>> {
        let seat = self.seats.lock().get(&session).cloned()?;
        same(seat.secret.as_bytes(), secret.as_bytes()).then_some(seat)
    }

    fn remove(&self, session: SessionId) {
        let gone = self.seats.lock().remove(&session);
        drop(gone);
    }
}

/// Compares without telling by its time where two texts differ.
fn same(a: &[u8], b: &[u8]) -> bool {
    a.len() == b.len() && a.iter().zip(b).fold(0, |differ, (a, b)| differ | (a ^ b)) == 0
}

/// Opens a session, or waits for what comes to one.
pub(crate) async fn poll(door: Arc<Inner>, request: Request) -> Response {
    let polled = match session_of(&request) {
        Ok(None) => open(&door, &request).await,
        Ok(Some((session, secret))) => go_on(&door, &request, session, secret),
        Err(refused) => Err(refused.into()),
    };
    polled.unwrap_or_else(refusal)
}

async fn open(door: &Inner, request: &Request) -> Result<Response, Wrong> {
    let opening = Opening::read(request)?;
    door.sweep(door.hub.now());
    if door.polls.seats.lock().len() >= door.terms.config.polls_max {
        return Err(Refused::Store(StoreError::Busy).into());
    }
    let (mut link, mut opened) = door.hello(peer(request, "poll"), opening.hello(SLEEP)).await?;
    // What the client goes by is how long its seat waits here, not how long its link would sleep.
    opened.keep = door.terms.config.stream_keep;
    let body = first_answers(door, &mut link, &opened, &opening).await;
    let seat = Seat {
        secret: opened.secret.clone(),
        expires_at: opened.principal.expires_at,
        state: Mutex::new(State {
            link: Some(link),
            busy: false,
            number: 1,
            kept: None,
            used: door.hub.now().steady,
        }),
        wanted: AtomicBool::new(false),
        waiter: AtomicWaker::new(),
    };
    door.polls.seats.lock().insert(opened.session, Arc::new(seat));
    Ok(numbered(json_body(StatusCode::OK, body), 1))
}

/// The welcome, and the answers to the subscriptions, as one array.
async fn first_answers(door: &Inner, link: &mut Link, opened: &Opened, opening: &Opening) -> Bytes {
    let now = door.hub.now();
    let mut connection = Connection::<Link>::replies(now, door.terms.clone(), true);
    let mut out = Out::new();
    connection.welcome_to(now, opened, opening.network, &mut out);
    let mut input = opening.subscribes(&[]);
    if let Err(fault) = connection.receive(now, &mut input, &mut out) {
        tracing::error!(%fault, "our own frame of subscriptions cannot be read");
    }
    let started: Vec<_> = out.calls.drain(..).map(|call| link.call(now, call)).collect();
    link.flush(now);
    for called in started {
        let answer = called.wait().await;
        connection.answer(door.hub.now(), answer, &mut out);
    }
    array(out.packets.iter())
}

fn go_on(door: &Inner, request: &Request, session: SessionId, secret: &str) -> Result<Response, Wrong> {
    let wait = match request.query_value("wait") {
        None => WAIT,
        Some(text) => {
            let seconds = text.parse().ok().and_then(|seconds| Duration::try_from_secs_f64(seconds).ok());
            seconds.ok_or(Wrong::Field { name: "wait", expected: "a number of seconds" })?.min(WAIT_MAX)
        }
    };
    let ack = request.query_value("ack").and_then(|ack| ack.parse::<u64>().ok());
    let ack = ack.ok_or(Wrong::Field { name: "ack", expected: "the number of the last response" })?;
    let seat = door.polls.find(session, secret).ok_or(Refused::NoSession)?;
    let now = door.hub.now();
    if seat.expires_at.is_some_and(|at| at <= now.wall) {
        door.polls.remove(session);
        return Err(Refused::TokenExpired.into());
    }
    let (link, number) = match seat.sit_down(now, ack)? {
        Sat::Again(body, number) => return Ok(numbered(json_body(StatusCode::OK, body), number)),
        Sat::Link(link, number) => (link, number),
    };
    let talk = Poll::new(seat.clone(), now.steady + wait);
    let body = EventBody::new(talk, Parked::new(seat, link), BytesMut::new(), request.line(), "poll");
    let mut response = json_body(StatusCode::OK, Bytes::new());
    *response.body_mut() = Body::stream(body);
    Ok(numbered(response, number))
}

fn numbered(mut response: Response, number: u64) -> Response {
    response.headers_mut().insert(NUMBER, HeaderValue::from(number));
    response
}

/// What a request gets.
enum Sat {
    /// A response that is there already, and its number.
    Again(Bytes, u64),
    /// The link, and the number that the response will have.
    Link(Box<Link>, u64),
}

impl Seat {
    /// Takes the link for a request that has the response `ack` and all before it.
    fn sit_down(&self, now: Now, ack: u64) -> Result<Sat, Wrong> {
        let mut state = self.state.lock();
        state.used = now.steady;
        let repeats = ack.checked_add(1) == Some(state.number);
        if ack != state.number && !repeats {
            return Err(Wrong::Field { name: "ack", expected: "the number of the last response" });
        }
        if state.busy {
            // The one that waits ends, this one too, and the next finds the link here.
            self.wanted.store(true, std::sync::atomic::Ordering::Release);
            self.waiter.wake();
            return Ok(Sat::Again(Bytes::from_static(b"[]"), state.number));
        }
        if repeats && let Some(body) = &state.kept {
            return Ok(Sat::Again(body.clone(), state.number));
        }
        state.kept = None;
        let link = state.link.take().ok_or(Refused::NoSession)?;
        state.busy = true;
        self.wanted.store(false, std::sync::atomic::Ordering::Release);
        Ok(Sat::Link(Box::new(link), state.number + 1))
    }
}
