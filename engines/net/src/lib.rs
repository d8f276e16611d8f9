//! The engine that touches the network: it moves bytes between any [`Connection`](yizhan_talk::Connection)
//! and any [`Backend`](yizhan_talk::Backend), and knows neither.
//!
//! What a door uses:
//! - [`Door`]: one protocol; [`Site`]: where it attaches. `site.tcp(door, &listen, each)`,
//!   `site.http(route, each)`, `site.websocket(door, path, subprotocols, each)`, `site.task(name, future)`.
//! - [`Listen`], [`Http`], [`Limits`], [`TlsFiles`], [`Deflate`]: sections of the config.
//! - [`Stream`]: a byte stream (TCP, TLS, a WebSocket over HTTP/2) with its [`Line`] and its [`Peer`].
//! - [`drive()`]: the shell that runs a connection and its backend over a stream until it has [`Ended`].
//! - [`Route`], [`Request`], [`Response`], [`Body`], [`reply`]: plain HTTP.
//! - [`EventBody`]: a response body that is a connection with no input (Server-Sent Events); [`Flow`]: one of bytes
//!   that many share (HTTP-FLV).
//! - [`Upgrade`], [`Subprotocol`], [`Kind`]: what a WebSocket client asked for.
//! - [`Lines`], [`LineInfo`], [`Meters`]: who is connected, and what was counted.
//! - [`Dialer`]: connections that we open ourselves, and keep open; [`Outgoing`]: one of them.
//! - [`fetch`]: a small HTTP client for key sets; [`Poster`]: one that posts to the operator's programs;
//!   [`websocket::client`]: a WebSocket client.
//!
//! What the server uses: [`Site::new`], [`Site::listen_http`], [`Site::start`] which gives an [`Open`]
//! site: [`Open::bound`], [`Open::reload`], [`Open::drain`].
//!
//! Read in this order: [`address`], [`meters`], [`mod@line`], [`stream`], [`mod@drive`], [`websocket`], [`http`],
//! [`site`].

pub mod address;
pub mod dial;
pub mod drive;
pub mod events;
mod exchange;
mod fetching;
pub mod flow;
pub mod fuzz;
pub mod http;
pub mod line;
mod listen;
pub mod meters;
mod path;
pub mod posting;
mod proxy;
pub mod reply;
mod serve;
pub mod setting;
pub mod site;
pub mod stream;
pub mod tls;
pub mod websocket;

pub use address::Cidr;
pub use dial::{Backoff, DialError, Dialer, Next, Outgoing, Target, TargetTls};
pub use drive::{Drive, Ended, drive};
pub use events::EventBody;
pub use fetching::{FetchError, fetch};
pub use flow::Flow;
pub use http::{Body, BodyError, Request, Response, Route};
pub use line::{ClientCertificate, Line, LineInfo, Lines, Peer, Shell};
pub use meters::{DoorMeters, Meters};
pub use posting::{PostError, Posted, Poster};
pub use setting::{Deflate, Http, Limits, Listen, TlsFiles};
pub use site::{Door, Open, Site, SiteError, SystemClock};
pub use stream::Stream;
pub use websocket::{Kind, Subprotocol, Upgrade};
