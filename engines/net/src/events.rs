//! skeleton
use crate::Line;
use bytes::{Bytes, BytesMut};
use std::{
    convert::Infallible,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
};
use yizhan_talk::Connection;

/// A response body that is a connection without input: its packets are the body, as they come.
#[allow(dead_code)]
pub struct EventBody<C: Connection> {
    connection: C,
    backend: C::Backend,
    first: BytesMut,
    line: Arc<Line>,
}

impl<C: Connection> EventBody<C> {
    /// A body that begins by giving `first` to the connection as if the client had sent it (the commands
    /// that open and subscribe), and then yields what the connection sends until it closes.
    pub fn new(connection: C, backend: C::Backend, first: BytesMut, line: Arc<Line>) -> Self {
        Self { connection, backend, first, line }
    }
}

impl<C: Connection> http_body::Body for EventBody<C> {
    type Data = Bytes;
    type Error = Infallible;
    fn poll_frame(
        self: Pin<&mut Self>,
        _cx: &mut Context<'_>,
    ) -> Poll<Option<Result<http_body::Frame<Bytes>, Infallible>>> {
        todo!()
    }
}
