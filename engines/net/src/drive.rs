//! skeleton
use crate::Line;
use std::{
    future::Future,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
};
use tokio::io::{AsyncRead, AsyncWrite};
use yizhan_talk::{Close, Connection};

/// How a talk over a stream ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Ended {
    /// The client ended it, or its connection broke.
    Left,
    /// We ended it, with this.
    Closed(Close),
    /// The site cut it.
    Cut,
}

/// Runs `connection` and `backend` over `stream` until one of them ends.
pub fn drive<S, C>(stream: S, connection: C, backend: C::Backend, line: Arc<Line>) -> Drive<S, C>
where
    S: AsyncRead + AsyncWrite + Unpin,
    C: Connection,
{
    Drive { stream, connection, backend, line }
}

/// The future of [`drive`].
#[allow(dead_code)]
pub struct Drive<S, C: Connection> {
    stream: S,
    connection: C,
    backend: C::Backend,
    line: Arc<Line>,
}

impl<S: AsyncRead + AsyncWrite + Unpin, C: Connection> Future for Drive<S, C> {
    type Output = Ended;
    fn poll(self: Pin<&mut Self>, _cx: &mut Context<'_>) -> Poll<Ended> {
        todo!()
    }
}
