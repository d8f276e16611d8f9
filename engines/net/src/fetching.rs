//! A small HTTP client, for key sets and the like.

use std::time::Duration;

use bytes::{Bytes, BytesMut};
use http::{Request, StatusCode, Uri, header};
use http_body_util::{BodyExt as _, Empty};
use hyper_rustls::{ConfigBuilderExt as _, HttpsConnector, HttpsConnectorBuilder};
use hyper_util::{
    client::legacy::{Client, connect::HttpConnector},
    rt::TokioExecutor,
};

/// Why nothing was fetched.
#[derive(Debug, thiserror::Error)]
pub enum FetchError {
    /// The address is no `https:` URL, nor an `http:` one of this machine.
    #[error("'{0}' is no https address (http is taken for this machine only)")]
    BadUrl(String),
    /// It took too long.
    #[error("no answer within {0:?}")]
    Late(Duration),
    /// The server answered, and not with 200. Redirections are not followed.
    #[error("the server answered {0}")]
    Status(u16),
    /// The body is larger than allowed.
    #[error("the answer has more than {0} bytes")]
    TooLarge(usize),
    /// The network or TLS failed.
    #[error("{0}")]
    Failed(String),
}

/// Fetches `url` with GET: at most `bytes_max` bytes, within `within`.
///
/// # Errors
/// See [`FetchError`].
pub async fn fetch(url: &str, bytes_max: usize, within: Duration) -> Result<Bytes, FetchError> {
    let uri: Uri = url.parse().map_err(|_| FetchError::BadUrl(url.to_owned()))?;
    if !is_safe(&uri) {
        return Err(FetchError::BadUrl(url.to_owned()));
    }
    tokio::time::timeout(within, fetch_some(uri, bytes_max)).await.map_err(|_| FetchError::Late(within))?
}

async fn fetch_some(uri: Uri, bytes_max: usize) -> Result<Bytes, FetchError> {
    let request = Request::get(uri)
        .header(header::ACCEPT, "application/json, */*")
        .header(header::USER_AGENT, "yizhan")
        .body(Empty::<Bytes>::new())
        .map_err(|error| FetchError::Failed(error.to_string()))?;
    let client = Client::builder(TokioExecutor::new()).build(connector()?);
    let response = client.request(request).await.map_err(|error| FetchError::Failed(explain(&error)))?;
    if response.status() != StatusCode::OK {
        return Err(FetchError::Status(response.status().as_u16()));
    }
    let mut body = response.into_body();
    let mut bytes = BytesMut::new();
    while let Some(frame) = body.frame().await {
        let frame = frame.map_err(|error| FetchError::Failed(error.to_string()))?;
        let Ok(data) = frame.into_data() else { continue };
        if bytes.len() + data.len() > bytes_max {
            return Err(FetchError::TooLarge(bytes_max));
        }
        bytes.extend_from_slice(&data);
    }
    Ok(bytes.freeze())
}

fn connector() -> Result<HttpsConnector<HttpConnector>, FetchError> {
    let provider = std::sync::Arc::new(rustls::crypto::ring::default_provider());
    let tls = rustls::ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|error| FetchError::Failed(error.to_string()))?
        .with_webpki_roots()
        .with_no_client_auth();
    Ok(HttpsConnectorBuilder::new().with_tls_config(tls).https_or_http().enable_http1().build())
}

/// Keys that come in plain text from elsewhere could be anybody's.
fn is_safe(uri: &Uri) -> bool {
    match (uri.scheme_str(), uri.host()) {
        (Some("https"), Some(_)) => true,
        (Some("http"), Some(host)) => {
            let host = host.trim_start_matches('[').trim_end_matches(']');
            host == "localhost" || host.parse().is_ok_and(|ip: std::net::IpAddr| ip.is_loopback())
        }
        _ => false,
    }
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
    use super::*;

    #[test]
    fn plain_http_is_for_this_machine_only() {
        for (url, safe) in [
            ("https://keys.example/jwks.json", true),
            ("http://127.0.0.1:8080/jwks.json", true),
            ("http://[::1]/jwks.json", true),
            ("http://localhost/jwks.json", true),
            ("http://keys.example/jwks.json", false),
            ("http://localhost.example/", false),
            ("ftp://127.0.0.1/", false),
            ("/jwks.json", false),
        ] {
            assert_eq!(is_safe(&url.parse().unwrap()), safe, "{url}");
        }
    }
}
