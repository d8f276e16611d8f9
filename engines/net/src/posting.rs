//! An HTTP client that posts to the operator's own programs: what happened, or a question.
//!
//! Whatever answers, it costs no more than it may: a bound on time and on bytes, and no redirection is followed.

use std::{sync::Arc, time::Duration};

use bytes::{Bytes, BytesMut};
use http::{HeaderMap, HeaderName, HeaderValue, Request, Uri, header};
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use hyper_rustls::{ConfigBuilderExt as _, HttpsConnector, HttpsConnectorBuilder};
use hyper_util::{
    client::legacy::{Client, connect::HttpConnector},
    rt::{TokioExecutor, TokioTimer},
};

/// Connections to one host that are kept open with nothing to do.
const IDLE_MAX: usize = 16;
/// How long they are.
const IDLE_FOR: Duration = Duration::from_secs(30);

/// Why a post was not answered.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PostError {
    /// The address is no `http:` or `https:` URL with a host.
    #[error("'{0}' is no http or https address")]
    BadUrl(String),
    /// It took too long.
    #[error("no answer within {0:?}")]
    Late(Duration),
    /// The answer is larger than allowed.
    #[error("the answer has more than {bytes_max} bytes")]
    TooLarge {
        /// Bytes that are taken.
        bytes_max: usize,
        /// Its status.
        status: u16,
    },
    /// The network or TLS failed.
    #[error("{0}")]
    Failed(String),
}

/// An answer to a post, whatever its status.
#[derive(Debug, Clone)]
pub struct Posted {
    /// Its status. Redirections are answers like others.
    pub status: u16,
    /// Its headers.
    pub headers: HeaderMap,
    /// Its body.
    pub body: Bytes,
}

/// Posts, over connections that are kept for the next one. Cloning it gives another handle to the same.
#[derive(Clone)]
pub struct Poster {
    client: Client<HttpsConnector<HttpConnector>, Full<Bytes>>,
}

impl std::fmt::Debug for Poster {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Poster")
    }
}

/// Reads the address of an endpoint.
///
/// # Errors
/// [`PostError::BadUrl`].
pub fn endpoint(url: &str) -> Result<Uri, PostError> {
    let bad = || PostError::BadUrl(url.to_owned());
    let uri: Uri = url.parse().map_err(|_| bad())?;
    let good = matches!(uri.scheme_str(), Some("http" | "https"))
        && uri.host().is_some_and(|host| !host.is_empty())
        && uri.authority().is_some_and(|authority| !authority.as_str().contains('@'));
    if good { Ok(uri) } else { Err(bad()) }
}

impl Poster {
    /// A client that trusts the certificates that the web trusts.
    ///
    /// # Errors
    /// The TLS library cannot be used.
    pub fn new() -> Result<Self, PostError> {
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let tls = rustls::ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .map_err(|error| PostError::Failed(error.to_string()))?
            .with_webpki_roots()
            .with_no_client_auth();
        let connector =
            HttpsConnectorBuilder::new().with_tls_config(tls).https_or_http().enable_http1().build();
        let client = Client::builder(TokioExecutor::new())
            .pool_timer(TokioTimer::new())
            .pool_idle_timeout(IDLE_FOR)
            .pool_max_idle_per_host(IDLE_MAX)
            .build(connector);
        Ok(Self { client })
    }

    /// Posts a body, and reads at most `bytes_max` bytes of the answer, all within `within`.
    ///
    /// # Errors
    /// See [`PostError`]; an answer of any status is no error.
    pub async fn post(
        &self,
        to: &Uri,
        headers: &[(HeaderName, HeaderValue)],
        body: Bytes,
        bytes_max: usize,
        within: Duration,
    ) -> Result<Posted, PostError> {
        let mut request = Request::post(to.clone()).header(header::USER_AGENT, "yizhan");
        for (name, value) in headers {
            request = request.header(name, value);
        }
        let request = request.body(Full::new(body)).map_err(|error| PostError::Failed(error.to_string()))?;
        let posting = self.post_some(request, bytes_max);
        tokio::time::timeout(within, posting).await.map_err(|_| PostError::Late(within))?
    }

    async fn post_some(&self, request: Request<Full<Bytes>>, bytes_max: usize) -> Result<Posted, PostError> {
        let response =
            self.client.request(request).await.map_err(|error| PostError::Failed(explain(&error)))?;
        let (head, body) = response.into_parts();
        let status = head.status.as_u16();
        let Some(body) = read(body, bytes_max).await? else {
            return Err(PostError::TooLarge { bytes_max, status });
        };
        Ok(Posted { status, headers: head.headers, body })
    }
}

/// A body of at most so many bytes. A larger one is `None`: it is not read on, and its connection is closed.
async fn read(mut body: Incoming, bytes_max: usize) -> Result<Option<Bytes>, PostError> {
    let mut bytes = BytesMut::new();
    while let Some(frame) = body.frame().await {
        let frame = frame.map_err(|error| PostError::Failed(explain(&error)))?;
        let Ok(data) = frame.into_data() else { continue };
        if bytes.len() + data.len() > bytes_max {
            return Ok(None);
        }
        bytes.extend_from_slice(&data);
    }
    Ok(Some(bytes.freeze()))
}

/// The error with its causes: the outermost says little.
fn explain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text.push_str(": ");
        text.push_str(&error.to_string());
        cause = error.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use tokio::{
        io::{AsyncReadExt as _, AsyncWriteExt as _},
        net::{TcpListener, TcpStream},
    };

    use super::*;

    /// Answers each connection's requests with these bytes, and gives what came.
    async fn server(answer: &'static [u8]) -> (Uri, tokio::sync::mpsc::Receiver<Vec<u8>>) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let uri = endpoint(&format!("http://{}/hook?x=1", listener.local_addr().unwrap())).unwrap();
        let (heard, hears) = tokio::sync::mpsc::channel(16);
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(serve(stream, answer, heard.clone()));
            }
        });
        (uri, hears)
    }

    async fn serve(mut stream: TcpStream, answer: &'static [u8], heard: tokio::sync::mpsc::Sender<Vec<u8>>) {
        let mut bytes = vec![0; 65536];
        while let Ok(n @ 1..) = stream.read(&mut bytes).await {
            drop(heard.try_send(bytes[..n].to_vec()));
            if stream.write_all(answer).await.is_err() {
                return;
            }
        }
    }

    const SOON: Duration = Duration::from_secs(10);

    #[tokio::test]
    async fn a_post_brings_its_headers_and_its_body_and_takes_the_answer() {
        let (uri, mut hears) = server(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\nx-a: b\r\n\r\nhi").await;
        let poster = Poster::new().unwrap();
        let headers = [(header::CONTENT_TYPE, HeaderValue::from_static("application/json"))];
        for _ in 0..2 {
            let posted = poster.post(&uri, &headers, Bytes::from("{\"a\":1}"), 1024, SOON).await.unwrap();
            assert_eq!((posted.status, &posted.body[..]), (200, &b"hi"[..]));
            assert_eq!(posted.headers["x-a"], "b");
            let mut request = String::new();
            while !request.ends_with("{\"a\":1}") {
                request.push_str(&String::from_utf8(hears.recv().await.unwrap()).unwrap());
            }
            assert!(request.starts_with("POST /hook?x=1 HTTP/1.1\r\n"), "{request}");
            assert!(request.contains("content-type: application/json\r\n"), "{request}");
        }
    }

    #[tokio::test]
    async fn a_redirection_is_an_answer_and_is_not_followed() {
        let (uri, _hears) =
            server(b"HTTP/1.1 302 Found\r\nlocation: http://127.0.0.1:1/\r\ncontent-length: 0\r\n\r\n").await;
        let posted = Poster::new().unwrap().post(&uri, &[], Bytes::new(), 10, SOON).await.unwrap();
        assert_eq!(posted.status, 302);
    }

    #[tokio::test]
    async fn what_is_too_large_garbage_or_silent_is_an_error_in_time() {
        let poster = Poster::new().unwrap();
        let (large, _large) =
            server(b"HTTP/1.1 200 OK\r\ncontent-length: 104857600\r\n\r\nxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx")
                .await;
        let posted = poster.post(&large, &[], Bytes::new(), 16, SOON).await;
        assert_eq!(posted.unwrap_err(), PostError::TooLarge { bytes_max: 16, status: 200 });
        let (garbage, _garbage) = server(b"\0\0 what \r\n\r\n").await;
        assert!(matches!(
            poster.post(&garbage, &[], Bytes::new(), 16, SOON).await,
            Err(PostError::Failed(_))
        ));
        let (silent, _silent) = server(b"").await;
        let short = Duration::from_millis(50);
        let posted = poster.post(&silent, &[], Bytes::new(), 16, short).await;
        assert_eq!(posted.unwrap_err(), PostError::Late(short));
        // A head that comes, and a body that never ends.
        let (half, _half) = server(b"HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nx").await;
        assert_eq!(
            poster.post(&half, &[], Bytes::new(), 16, short).await.unwrap_err(),
            PostError::Late(short)
        );
        let nobody = endpoint("http://127.0.0.1:1/").unwrap();
        assert!(matches!(poster.post(&nobody, &[], Bytes::new(), 16, SOON).await, Err(PostError::Failed(_))));
    }

    #[test]
    fn an_endpoint_is_an_http_url_without_a_password() {
        for good in ["http://10.0.0.7:9000/hook", "https://hooks.example/a?b=c", "http://[::1]/"] {
            assert!(endpoint(good).is_ok(), "{good}");
        }
        for bad in
            ["", "/hook", "hooks.example", "ftp://hooks.example/", "http://", "http://u:p@h/", "http:// /"]
        {
            assert!(endpoint(bad).is_err(), "{bad}");
        }
    }
}
