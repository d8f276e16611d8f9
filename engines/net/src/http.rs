//! Requests and responses, as doors see them.

use std::{
    borrow::Cow,
    convert::Infallible,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use bytes::{Bytes, BytesMut};
use http::{HeaderMap, Method, StatusCode, Uri, Version};
use http_body::{Body as _, Frame, SizeHint};
use http_body_util::BodyExt as _;
use hyper::body::Incoming;

use crate::{
    Line, Peer,
    path::{self, Params},
    reply,
    serve::Busy,
};

/// A method and a path that a door answers.
///
/// The path's segments are literal, `{name}` (one segment) or a last `{*name}` (the rest, at least one
/// segment). `GET` also answers `HEAD`.
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
    parts: http::request::Parts,
    body: Incoming,
    params: Params,
    line: Arc<Line>,
    body_bytes_max: usize,
    body_within: Duration,
}

impl Request {
    pub(crate) fn new(
        request: http::Request<Incoming>,
        line: Arc<Line>,
        body_bytes_max: usize,
        body_within: Duration,
    ) -> Self {
        let (parts, body) = request.into_parts();
        Self { parts, body, params: Params::new(), line, body_bytes_max, body_within }
    }

    pub(crate) fn with_params(self, params: Params) -> Self {
        Self { params, ..self }
    }

    pub(crate) fn upgrade(&mut self) -> hyper::upgrade::OnUpgrade {
        let mut request = http::Request::new(());
        std::mem::swap(request.extensions_mut(), &mut self.parts.extensions);
        hyper::upgrade::on(request)
    }

    /// The method.
    #[must_use]
    pub fn method(&self) -> &Method {
        &self.parts.method
    }

    /// Which HTTP it is.
    #[must_use]
    pub fn version(&self) -> Version {
        self.parts.version
    }

    /// The `:protocol` of an extended CONNECT (RFC 8441 §4).
    pub(crate) fn protocol(&self) -> Option<&str> {
        self.parts.extensions.get::<hyper::ext::Protocol>().map(hyper::ext::Protocol::as_str)
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
    pub fn header(&self, name: &str) -> Option<&str> {
        self.parts.headers.get(name)?.to_str().ok()
    }

    /// The host that the client believes it speaks to, with the port where it named one.
    #[must_use]
    pub fn host(&self) -> Option<&str> {
        self.header("host").or_else(|| self.parts.uri.authority().map(http::uri::Authority::as_str))
    }

    /// What follows `scheme` in `Authorization`; the scheme's case does not matter.
    #[must_use]
    pub fn authorization(&self, scheme: &str) -> Option<&str> {
        let (named, rest) = self.header("authorization")?.split_once(' ')?;
        named.eq_ignore_ascii_case(scheme).then(|| rest.trim())
    }

    /// A path parameter, decoded; empty where the route has no such parameter.
    #[must_use]
    pub fn param(&self, name: &str) -> &str {
        self.params.iter().find(|(known, _)| *known == name).map_or("", |(_, value)| value)
    }

    /// All query parameters in order, decoded. One that is malformed is left out.
    pub fn query(&self) -> impl Iterator<Item = (Cow<'_, str>, Cow<'_, str>)> {
        path::query(self.parts.uri.query().unwrap_or_default())
    }

    /// The first query parameter of this name, decoded.
    #[must_use]
    pub fn query_value(&self, name: &str) -> Option<Cow<'_, str>> {
        self.query().find(|(known, _)| known == name).map(|(_, value)| value)
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

    /// The whole body, at most `http.body_bytes_max`. A second call gives nothing.
    ///
    /// # Errors
    /// It is too large, too slow or broken; the error can be turned into a response.
    pub async fn body(&mut self) -> Result<Bytes, BodyError> {
        self.body_up_to(self.body_bytes_max).await
    }

    /// The whole body, at most `bytes_max`. A second call gives nothing.
    ///
    /// # Errors
    /// As [`body`](Self::body).
    pub async fn body_up_to(&mut self, bytes_max: usize) -> Result<Bytes, BodyError> {
        if self.body.size_hint().lower() > bytes_max as u64 {
            return Err(BodyError::TooLarge(bytes_max));
        }
        tokio::time::timeout(self.body_within, self.read_body(bytes_max))
            .await
            .map_err(|_| BodyError::Late)?
    }

    async fn read_body(&mut self, bytes_max: usize) -> Result<Bytes, BodyError> {
        let mut first = Bytes::new();
        let mut all = BytesMut::new();
        while let Some(frame) = self.body.frame().await {
            let Ok(data) = frame.map_err(|_| BodyError::Broken)?.into_data() else { continue };
            if first.len() + all.len() + data.len() > bytes_max {
                return Err(BodyError::TooLarge(bytes_max));
            }
            if first.is_empty() && all.is_empty() {
                // Most bodies come in one piece, which is used where it lies.
                first = data;
            } else {
                all.extend_from_slice(&std::mem::take(&mut first));
                all.extend_from_slice(&data);
            }
        }
        Ok(if all.is_empty() { first } else { all.freeze() })
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
    fn from(error: BodyError) -> Self {
        let status = match error {
            BodyError::TooLarge(_) => StatusCode::PAYLOAD_TOO_LARGE,
            BodyError::Late => StatusCode::REQUEST_TIMEOUT,
            BodyError::Broken => StatusCode::BAD_REQUEST,
        };
        let mut response = reply::error(status, &error.to_string());
        // The rest of the body is not read, so no request can follow it.
        response.headers_mut().insert(http::header::CONNECTION, http::HeaderValue::from_static("close"));
        response
    }
}

/// An answer to a [`Request`].
pub type Response = http::Response<Body>;

/// What a response carries. It is boxed, so that a [`Response`] is a small error.
#[derive(Default)]
pub struct Body(Option<Box<Inner>>);

#[derive(Default)]
struct Inner {
    content: Content,
    /// The connection is busy as long as this body is under way: it is only there to be dropped.
    _busy: Option<Busy>,
}

#[derive(Default)]
enum Content {
    #[default]
    Empty,
    Full(Bytes),
    Stream(Pin<Box<dyn http_body::Body<Data = Bytes, Error = Infallible> + Send>>),
}

impl Body {
    /// Nothing.
    #[must_use]
    pub const fn empty() -> Self {
        Self(None)
    }

    /// These bytes.
    #[must_use]
    pub fn full(bytes: impl Into<Bytes>) -> Self {
        Self::of(Content::Full(bytes.into()))
    }

    /// What comes, as it comes: [`crate::EventBody`].
    pub fn stream(body: impl http_body::Body<Data = Bytes, Error = Infallible> + Send + 'static) -> Self {
        Self::of(Content::Stream(Box::pin(body)))
    }

    fn of(content: Content) -> Self {
        Self(Some(Box::new(Inner { content, _busy: None })))
    }

    fn content(&self) -> &Content {
        self.0.as_ref().map_or(&Content::Empty, |inner| &inner.content)
    }

    pub(crate) fn with_busy(self, busy: Busy) -> Self {
        let mut inner = self.0.unwrap_or_default();
        inner._busy = Some(busy);
        Self(Some(inner))
    }
}

impl std::fmt::Debug for Body {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self.content() {
            Content::Empty => "Empty",
            Content::Full(_) => "Full",
            Content::Stream(_) => "Stream",
        })
    }
}

impl http_body::Body for Body {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        let Some(inner) = &mut self.get_mut().0 else { return Poll::Ready(None) };
        match &mut inner.content {
            Content::Empty => Poll::Ready(None),
            Content::Full(bytes) => {
                let bytes = std::mem::take(bytes);
                inner.content = Content::Empty;
                Poll::Ready((!bytes.is_empty()).then(|| Ok(Frame::data(bytes))))
            }
            Content::Stream(body) => body.as_mut().poll_frame(cx),
        }
    }

    fn is_end_stream(&self) -> bool {
        match self.content() {
            Content::Empty => true,
            Content::Full(bytes) => bytes.is_empty(),
            Content::Stream(body) => body.is_end_stream(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match self.content() {
            Content::Empty => SizeHint::with_exact(0),
            Content::Full(bytes) => SizeHint::with_exact(bytes.len() as u64),
            Content::Stream(body) => body.size_hint(),
        }
    }
}
