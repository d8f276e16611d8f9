//! A line protocol and its backend, sites to run them on, and a clock that tokio's tests can move.

use std::{
    collections::VecDeque,
    net::{Ipv4Addr, SocketAddr},
    sync::Arc,
    task::{Context, Poll, Waker},
    time::{Duration, Instant},
};

use bytes::BytesMut;
use parking_lot::Mutex;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    sync::oneshot,
};
use yizhan_net::{Kind, Limits, Line, Listen, Meters, Peer, Shell, Site, Subprotocol, SystemClock, drive};
use yizhan_talk::{Backend, Called, Clock, Close, Connection, Fault, Now, Out, Timestamp};

/// A line may have so many bytes.
const LINE_BYTES_MAX: usize = 4096;

/// What a test does with the backends of all clients.
#[derive(Clone, Default)]
pub(crate) struct Desk(Arc<Mutex<DeskState>>);

#[derive(Default)]
struct DeskState {
    queue: VecDeque<String>,
    waker: Option<Waker>,
    later: VecDeque<oneshot::Sender<()>>,
    calls: Vec<String>,
    taken: usize,
    gone: usize,
}

impl Desk {
    pub(crate) fn deliver(&self, text: impl Into<String>) {
        let waker = {
            let mut state = self.0.lock();
            state.queue.push_back(text.into());
            state.waker.take()
        };
        if let Some(waker) = waker {
            waker.wake();
        }
    }

    /// The oldest call that waits is answered.
    pub(crate) fn answer(&self) {
        let waiting = self.0.lock().later.pop_front();
        waiting.expect("a call waits").send(()).expect("the client waits for it");
    }

    pub(crate) fn calls(&self) -> Vec<String> {
        self.0.lock().calls.clone()
    }

    /// Deliveries that were taken.
    pub(crate) fn taken(&self) -> usize {
        self.0.lock().taken
    }

    /// Backends that were dropped.
    pub(crate) fn gone(&self) -> usize {
        self.0.lock().gone
    }
}

/// One client's backend.
pub(crate) struct Seat(pub(crate) Desk);

impl Drop for Seat {
    fn drop(&mut self) {
        self.0.0.lock().gone += 1;
    }
}

pub(crate) enum Call {
    Now(String),
    Later(String),
}

impl Backend for Seat {
    type Call = Call;
    type Answer = String;
    type Delivery = String;

    fn call(&mut self, _: Now, call: Call) -> Called<String> {
        let mut state = self.0.0.lock();
        match call {
            Call::Now(text) => {
                state.calls.push(text.clone());
                Called::Done(text)
            }
            Call::Later(text) => {
                state.calls.push(text.clone());
                let (sender, receiver) = oneshot::channel();
                state.later.push_back(sender);
                Called::Later(Box::pin(async move {
                    match receiver.await {
                        Ok(()) => text,
                        Err(_) => "nobody".into(),
                    }
                }))
            }
        }
    }

    fn poll_deliveries(
        &mut self,
        cx: &mut Context<'_>,
        _: Now,
        into: &mut Vec<String>,
        max: usize,
    ) -> Poll<()> {
        let mut state = self.0.0.lock();
        if state.queue.is_empty() {
            state.waker = Some(cx.waker().clone());
            return Poll::Pending;
        }
        let n = state.queue.len().min(max);
        into.extend(state.queue.drain(..n));
        state.taken += n;
        Poll::Ready(())
    }
}

/// `say X`, `now X`, `later X`, `alarm SECONDS`, `quit`, `fault`, `panic`: one to a line, or to a message.
#[derive(Default)]
pub(crate) struct Lined {
    /// Packets are messages and need no line ends.
    pub(crate) whole: bool,
    alarm: Option<Instant>,
}

impl Lined {
    fn put(&self, out: &mut Out<Seat>, text: &str) {
        out.packets.write(|to| {
            to.extend_from_slice(text.as_bytes());
            if !self.whole {
                to.extend_from_slice(b"\n");
            }
        });
    }

    fn command(&mut self, now: Now, line: &str, out: &mut Out<Seat>) -> Result<(), Fault> {
        let (word, rest) = line.split_once(' ').unwrap_or((line, ""));
        match word {
            "say" => self.put(out, rest),
            "now" => out.calls.push(Call::Now(rest.into())),
            "later" => out.calls.push(Call::Later(rest.into())),
            "alarm" => self.alarm = Some(now.steady + Duration::from_secs(rest.parse().unwrap())),
            "quit" => {
                self.put(out, "goodbye");
                out.close(Close::NORMAL);
            }
            "panic" => panic!("a test wants it"),
            _ => {
                self.put(out, "what?");
                return Err(Fault(Close::PROTOCOL));
            }
        }
        Ok(())
    }
}

impl Connection for Lined {
    type Backend = Seat;

    fn receive(&mut self, now: Now, input: &mut BytesMut, out: &mut Out<Seat>) -> Result<(), Fault> {
        if self.whole {
            let line = String::from_utf8(input.split().to_vec()).unwrap();
            return self.command(now, &line, out);
        }
        while let Some(end) = input.iter().position(|byte| *byte == b'\n') {
            let line = input.split_to(end + 1);
            self.command(now, std::str::from_utf8(&line[..end]).unwrap(), out)?;
        }
        if input.len() > LINE_BYTES_MAX {
            return Err(Fault(Close::TOO_BIG));
        }
        Ok(())
    }

    fn answer(&mut self, _: Now, answer: String, out: &mut Out<Seat>) {
        self.put(out, &format!("= {answer}"));
    }

    fn deliver(&mut self, _: Now, deliveries: &mut Vec<String>, out: &mut Out<Seat>) {
        for delivery in deliveries.drain(..) {
            self.put(out, &format!("> {delivery}"));
        }
    }

    fn expire(&mut self, _: Now, out: &mut Out<Seat>) {
        self.alarm = None;
        self.put(out, "ring");
    }

    fn leave(&mut self, _: Now, close: Close, out: &mut Out<Seat>) {
        self.put(out, &format!("bye {}", close.code));
        out.close(close);
    }

    fn deadline(&self) -> Option<Instant> {
        self.alarm
    }
}

/// Tokio's time, which a test may stop.
#[derive(Clone, Copy)]
pub(crate) struct TokioClock;

impl Clock for TokioClock {
    fn now(&self) -> Now {
        Now { steady: tokio::time::Instant::now().into_std(), wall: Timestamp(0) }
    }
}

pub(crate) fn shell(limits: Limits) -> Arc<Shell> {
    Arc::new(Shell { limits, clock: Arc::new(TokioClock), meters: Arc::new(Meters::default()) })
}

pub(crate) fn line(limits: Limits) -> Arc<Line> {
    let nowhere = SocketAddr::from(([127, 0, 0, 1], 9));
    let peer = Peer { address: nowhere, local: nowhere, secure: false, certificate: None };
    Line::detached(&shell(limits), "test", peer)
}

/// Any free port of this machine.
pub(crate) fn anywhere() -> SocketAddr {
    SocketAddr::from((Ipv4Addr::LOCALHOST, 0))
}

/// A site that speaks the line protocol over TCP at `listen`, with all clients at one desk.
pub(crate) fn lined_site(limits: Limits, listen: &Listen) -> (Site, Desk) {
    let desk = Desk::default();
    let mut site = Site::new(limits, Arc::new(SystemClock));
    let seats = desk.clone();
    site.tcp("lined", listen, move |stream| {
        let line = Arc::clone(stream.line());
        Box::pin(drive(stream, Lined::default(), Seat(seats.clone()), line))
    })
    .unwrap();
    (site, desk)
}

pub(crate) const LINED: &[Subprotocol] = &[
    Subprotocol { name: "lined", kind: Kind::Text },
    Subprotocol { name: "lined.bytes", kind: Kind::Binary },
];

/// Puts the line protocol at `/lined`.
pub(crate) fn lined_websocket(site: &mut Site) -> Desk {
    let desk = Desk::default();
    let seats = desk.clone();
    site.websocket("ws", "/lined", LINED, move |_| {
        Ok((Lined { whole: true, ..Lined::default() }, Seat(seats.clone())))
    });
    desk
}

/// Reads until the other side ends the stream.
pub(crate) async fn read_all(stream: &mut TcpStream) -> String {
    let mut all = Vec::new();
    // A reset after the last byte is an end too.
    drop(stream.read_to_end(&mut all).await);
    String::from_utf8_lossy(&all).into_owned()
}

pub(crate) async fn read_line(stream: &mut (impl AsyncReadExt + Unpin)) -> String {
    let mut line = Vec::new();
    loop {
        match stream.read_u8().await {
            Ok(b'\n') | Err(_) => return String::from_utf8(line).unwrap(),
            Ok(byte) => line.push(byte),
        }
    }
}

/// Sends a request as it is and reads the response to the end of the stream.
pub(crate) async fn ask_raw(address: SocketAddr, request: &str) -> String {
    let mut stream = TcpStream::connect(address).await.unwrap();
    stream.write_all(request.as_bytes()).await.unwrap();
    read_all(&mut stream).await
}

/// Waits until `done` holds.
pub(crate) async fn until(what: &str, done: impl Fn() -> bool) {
    for _ in 0..2000 {
        if done() {
            return;
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    panic!("it never came that {what}");
}
