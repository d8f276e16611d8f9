//! skeleton
use crate::{Line, Peer};
use bytes::Bytes;
use http::{HeaderMap, Method, Uri};
use std::{
    borrow::Cow,
    convert::Infallible,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
};

/// A method and a path that a door answers.
///
/// The path's segments are literal, `{name}` (one segment) or a last `{*name}` (the rest, at least one segment).
#[derive(Debug, Clone)]
pub struct Route {
    pub(crate) method: Method,
    pub(crate) path: &'static str,
}

impl Route {
    /// Any method.
    #[must_use]
    pub const fn new(method: Method, path: &'static str) -> Self {
        Self { method, path }
    }
    /// GET, and HEAD.
    #[must_use]
    pub const fn get(path: &'static str) -> Self {
        Self::new(Method::GET, path)
    }
    /// POST.
    #[must_use]
    pub const fn post(path: &'static str) -> Self {
        Self::new(Method::POST, path)
    }
    /// PUT.
    #[must_use]
    pub const fn put(path: &'static str) -> Self {
        Self::new(Method::PUT, path)
    }
    /// DELETE.
    #[must_use]
    pub const fn delete(path: &'static str) -> Self {
        Self::new(Method::DELETE, path)
    }
}

/// A request whose head was read.
#[derive(Debug)]
pub struct Request {
    line: Arc<Line>,
    parts: http::request::Parts,
}

impl Request {
    /// The method.
    #[must_use]
    pub fn method(&self) -> &Method {
        &self.parts.method
    }
    /// The address as it was sent.
    #[must_use]
    pub fn uri(&self) -> &Uri {
        &self.parts.uri
    }
    /// The path, not decoded.
    #[must_use]
    pub fn path(&self) -> &str {
        self.parts.uri.path()
    }
    /// All headers.
    #[must_use]
    pub fn headers(&self) -> &HeaderMap {
        &self.parts.headers
    }
    /// A header's first value, where it is text.
    #[must_use]
    pub fn header(&self, _name: &str) -> Option<&str> {
        todo!()
    }
    /// The token of `Authorization: {scheme} …`; the scheme's case does not matter.
    #[must_use]
    pub fn authorization(&self, _scheme: &str) -> Option<&str> {
        todo!()
    }
    /// A path parameter, decoded; empty where the route has no such parameter.
    #[must_use]
    pub fn param(&self, _name: &str) -> &str {
        todo!()
    }
    /// All query parameters in order, decoded.
    pub fn query(&self) -> impl Iterator<Item = (Cow<'_, str>, Cow<'_, str>)> {
        std::iter::empty()
    }
    /// The first query parameter of this name, decoded.
    #[must_use]
    pub fn query_value(&self, _name: &str) -> Option<Cow<'_, str>> {
        todo!()
    }
    /// Who asks.
    #[must_use]
    pub fn peer(&self) -> &Peer {
        self.line.peer()
    }
    /// The transport's side of the connection.
    #[must_use]
    pub fn line(&self) -> &Arc<Line> {
        &self.line
    }
    /// The whole body, at most `http.body_bytes_max`.
    ///
    /// # Errors
    /// It is too large, too slow or broken; the error is a response.
    pub async fn body(&mut self) -> Result<Bytes, BodyError> {
        todo!()
    }
    /// The whole body, at most `bytes_max`.
    ///
    /// # Errors
    /// As [`body`](Self::body).
    pub async fn body_up_to(&mut self, _bytes_max: usize) -> Result<Bytes, BodyError> {
        todo!()
    }
}

/// Why a body could not be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum BodyError {
    /// 413.
    #[error("the body has more than {0} bytes")]
    TooLarge(usize),
    /// 408.
    #[error("the body did not come in time")]
    Late,
    /// 400.
    #[error("the body broke off")]
    Broken,
}

impl From<BodyError> for Response {
    fn from(_error: BodyError) -> Self {
        todo!()
    }
}

/// An answer to a [`Request`].
pub type Response = http::Response<Body>;

/// What a response carries.
pub struct Body(
    #[allow(dead_code)] Option<Pin<Box<dyn http_body::Body<Data = Bytes, Error = Infallible> + Send>>>,
);

impl Body {
    /// Nothing.
    #[must_use]
    pub const fn empty() -> Self {
        Self(None)
    }
    /// These bytes.
    #[must_use]
    pub fn full(_bytes: impl Into<Bytes>) -> Self {
        todo!()
    }
    /// What comes, as it comes: [`crate::EventBody`].
    pub fn stream(body: impl http_body::Body<Data = Bytes, Error = Infallible> + Send + 'static) -> Self {
        Self(Some(Box::pin(body)))
    }
}

impl http_body::Body for Body {
    type Data = Bytes;
    type Error = Infallible;
    fn poll_frame(
        self: Pin<&mut Self>,
        _cx: &mut Context<'_>,
    ) -> Poll<Option<Result<http_body::Frame<Bytes>, Infallible>>> {
        todo!()
    }
}
