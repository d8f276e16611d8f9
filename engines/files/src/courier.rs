//! Carries the requests of the bucket over the HTTP and TLS that the rest of the server uses too.

use std::{pin::Pin, sync::Arc, time::Duration};

use http_body_util::BodyExt as _;
use hyper_rustls::{ConfigBuilderExt as _, HttpsConnector, HttpsConnectorBuilder};
use hyper_util::{
    client::legacy::{Client, connect::HttpConnector as Tcp},
    rt::{TokioExecutor, TokioTimer},
};
use object_store::{
    ClientOptions,
    client::{
        HttpClient, HttpConnector, HttpError, HttpErrorKind, HttpRequest, HttpRequestBody, HttpResponse,
        HttpResponseBody, HttpService,
    },
};

/// How long a connection may take to be there.
const CONNECT_MAX: Duration = Duration::from_secs(5);

/// How long a request may take until its answer begins, with all that is sent in it.
const ANSWER_MAX: Duration = Duration::from_secs(60);

/// A connection that nobody uses is closed after this: servers close theirs after a minute or more.
const IDLE_MAX: Duration = Duration::from_secs(50);

/// Connections to one host that are kept though nobody uses them now.
const IDLE_CONNECTIONS_MAX: usize = 16;

/// Makes clients.
#[derive(Debug)]
pub(crate) struct Courier;

/// One client, with its connections.
#[derive(Debug)]
struct Rider(Client<HttpsConnector<Tcp>, HttpRequestBody>);

impl HttpConnector for Courier {
    fn connect(&self, _options: &ClientOptions) -> object_store::Result<HttpClient> {
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let tls = rustls::ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .map_err(|error| object_store::Error::Generic { store: "S3", source: error.into() })?
            .with_webpki_roots()
            .with_no_client_auth();
        let mut tcp = Tcp::new();
        tcp.enforce_http(false);
        tcp.set_connect_timeout(Some(CONNECT_MAX));
        tcp.set_nodelay(true);
        let https = HttpsConnectorBuilder::new()
            .with_tls_config(tls)
            .https_or_http()
            .enable_http1()
            .wrap_connector(tcp);
        let client = Client::builder(TokioExecutor::new())
            .pool_timer(TokioTimer::new())
            .pool_idle_timeout(IDLE_MAX)
            .pool_max_idle_per_host(IDLE_CONNECTIONS_MAX)
            .build(https);
        Ok(HttpClient::new(Rider(client)))
    }
}

/// What a call gives. The trait is an `async_trait`, so its futures are boxed.
type Answer<'a> = Pin<Box<dyn Future<Output = Result<HttpResponse, HttpError>> + Send + 'a>>;

impl HttpService for Rider {
    fn call<'me, 'a>(&'me self, request: HttpRequest) -> Answer<'a>
    where
        'me: 'a,
        Self: 'a,
    {
        Box::pin(self.carry(request))
    }
}

impl Rider {
    async fn carry(&self, request: HttpRequest) -> Result<HttpResponse, HttpError> {
        let answer = tokio::time::timeout(ANSWER_MAX, self.0.request(request)).await;
        let response = match answer {
            Ok(Ok(response)) => response,
            Ok(Err(error)) if error.is_connect() => {
                return Err(HttpError::new(HttpErrorKind::Connect, error));
            }
            Ok(Err(error)) => return Err(HttpError::new(HttpErrorKind::Request, error)),
            Err(late) => return Err(HttpError::new(HttpErrorKind::Timeout, late)),
        };
        let broken = |error: hyper::Error| HttpError::new(HttpErrorKind::Interrupted, error);
        Ok(response.map(|body| HttpResponseBody::new(body.map_err(broken))))
    }
}
