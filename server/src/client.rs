//! A client of a running server, for the command line's tools: plain HTTP with JSON.

use std::{
    net::SocketAddr,
    path::{Path, PathBuf},
};

use anyhow::{Context, bail};
use bytes::Bytes;
use http::{Method, StatusCode, Uri, header};
use http_body_util::{BodyExt, Full, Limited};
use hyper::body::Incoming;
use hyper_rustls::HttpsConnector;
use hyper_util::{
    client::legacy::{Client as HyperClient, connect::HttpConnector},
    rt::TokioExecutor,
};
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// Bytes of an answer that are read at most.
const ANSWER_BYTES_MAX: usize = 64 << 20;
/// Where a server listens where nobody says otherwise.
const USUAL: &str = "http://127.0.0.1:8080";
/// In the data folder: what tools need to find the running server.
const RUN_FILE: &str = "run.json";
/// In the data folder: a token for tools on this machine, readable by its owner only.
const TOKEN_FILE: &str = "local.token";

/// What a running server says about itself in its data folder.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct RunFile {
    pub(crate) pid: u32,
    pub(crate) version: String,
    /// When it was started, ms since 1970.
    pub(crate) started_at: u64,
    /// Whether the HTTP port speaks TLS.
    pub(crate) secure: bool,
    /// Addresses by door: `http`, `tcp`, …
    pub(crate) doors: std::collections::BTreeMap<String, Vec<SocketAddr>>,
}

impl RunFile {
    /// Where it lies.
    pub(crate) fn path(data: &Path) -> PathBuf {
        data.join(RUN_FILE)
    }

    /// Reads it; `None` where no server runs with this folder. One that was killed leaves its file, and its
    /// port may be somebody else's by now.
    pub(crate) fn read(data: &Path) -> Option<Self> {
        let run: Self = serde_json::from_slice(&std::fs::read(Self::path(data)).ok()?).ok()?;
        let pid = rustix::process::Pid::from_raw(i32::try_from(run.pid).ok()?)?;
        // A server of another user is there, too: it may only not be signalled.
        let there = rustix::process::test_kill_process(pid);
        matches!(there, Ok(()) | Err(rustix::io::Errno::PERM)).then_some(run)
    }

    /// The HTTP port as a URL that this machine can use.
    pub(crate) fn url(&self) -> Option<String> {
        let address = *self.doors.get("http")?.first()?;
        Some(url_of(address, self.secure))
    }
}

/// The URL of an address to listen at, as this machine reaches it.
pub(crate) fn url_of(address: SocketAddr, secure: bool) -> String {
    let scheme = if secure { "https" } else { "http" };
    if address.ip().is_unspecified() || address.ip() == std::net::Ipv4Addr::LOCALHOST {
        format!("{scheme}://localhost:{}", address.port())
    } else {
        format!("{scheme}://{address}")
    }
}

/// Where the local token lies.
pub(crate) fn token_path(data: &Path) -> PathBuf {
    data.join(TOKEN_FILE)
}

/// How to reach a server; flags of every tool.
#[derive(Debug, Clone, clap::Args)]
pub(crate) struct Reach {
    /// The server's URL. Without it: the server that runs with the data folder, or http://127.0.0.1:8080.
    #[arg(long, global = true, env = "YIZHAN_SERVER", value_name = "URL")]
    pub(crate) server: Option<String>,
    /// A token. Without it: the one that the server left in its data folder.
    #[arg(long, global = true, env = "YIZHAN_TOKEN", value_name = "TOKEN", hide_env_values = true)]
    pub(crate) token: Option<String>,
    /// A file with certificates (PEM) that the server's is signed by. Without it: the usual roots.
    #[arg(long, global = true, env = "YIZHAN_CA", value_name = "FILE")]
    pub(crate) ca: Option<PathBuf>,
    /// The data folder of a server on this machine.
    #[arg(long, global = true, env = "YIZHAN_DATA", value_name = "DIR", default_value = "yizhan-data")]
    pub(crate) data: PathBuf,
}

impl Reach {
    /// The URL to use.
    pub(crate) fn url(&self) -> String {
        let found = || RunFile::read(&self.data).and_then(|run| run.url());
        let url = self.server.clone().or_else(found).unwrap_or_else(|| USUAL.to_owned());
        let url = if url.contains("://") { url } else { format!("http://{url}") };
        url.trim_end_matches('/').to_owned()
    }

    /// The token to use, where there is one. A local token is for the local server only.
    pub(crate) fn token(&self) -> Option<String> {
        let local = || {
            if self.server.is_some() && !self.is_local() {
                return None;
            }
            let text = std::fs::read_to_string(token_path(&self.data)).ok()?;
            Some(text.trim().to_owned()).filter(|token| !token.is_empty())
        };
        self.token.clone().or_else(local)
    }

    /// Whether the URL given leads to the server that runs with the data folder.
    fn is_local(&self) -> bool {
        let port = |url: &str| url.parse::<Uri>().ok().and_then(|uri| uri.port_u16());
        let run = RunFile::read(&self.data).and_then(|run| run.url());
        let host = self.url().parse::<Uri>().ok().and_then(|uri| uri.host().map(str::to_owned));
        let loopback = matches!(host.as_deref(), Some("127.0.0.1" | "localhost" | "[::1]"));
        loopback && run.is_some_and(|run| port(&run) == port(&self.url()))
    }

    /// A client.
    ///
    /// # Errors
    /// The URL is none.
    pub(crate) fn client(&self) -> anyhow::Result<Client> {
        Client::new(&self.url(), self.token(), self.ca.as_deref())
    }
}

/// A client of one server.
#[derive(Clone)]
pub(crate) struct Client {
    http: HyperClient<HttpsConnector<HttpConnector>, Full<Bytes>>,
    base: String,
    token: Option<String>,
}

/// TLS that trusts the certificates in a file and nobody else.
fn trusting(file: &Path) -> anyhow::Result<rustls::ClientConfig> {
    use rustls_pki_types::{CertificateDer, pem::PemObject};
    let mut roots = rustls::RootCertStore::empty();
    let fail = || format!("cannot read the certificates in {}", file.display());
    for certificate in CertificateDer::pem_file_iter(file).with_context(fail)? {
        roots.add(certificate.with_context(fail)?).with_context(fail)?;
    }
    if roots.is_empty() {
        bail!("{} has no certificates", file.display());
    }
    Ok(rustls::ClientConfig::builder().with_root_certificates(roots).with_no_client_auth())
}

/// An answer's status and body.
pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    pub(crate) body: Bytes,
}

impl Client {
    /// A client of the server at `base`.
    ///
    /// # Errors
    /// It is no URL, or the certificates cannot be read.
    pub(crate) fn new(base: &str, token: Option<String>, ca: Option<&Path>) -> anyhow::Result<Self> {
        let uri: Uri = base.parse().with_context(|| format!("'{base}' is no URL"))?;
        if !matches!(uri.scheme_str(), Some("http" | "https")) {
            bail!("'{base}' is no URL of a server: write it as http://HOST:PORT");
        }
        let builder = hyper_rustls::HttpsConnectorBuilder::new();
        let builder = match ca {
            None => builder.with_webpki_roots(),
            Some(file) => builder.with_tls_config(trusting(file)?),
        };
        let connector = builder.https_or_http().enable_http1().build();
        let http = HyperClient::builder(TokioExecutor::new()).build(connector);
        Ok(Self { http, base: base.to_owned(), token })
    }

    /// Sends a request and gives its response as it begins.
    ///
    /// # Errors
    /// The server cannot be reached.
    pub(crate) async fn send(
        &self,
        method: Method,
        path: &str,
        headers: &[(&str, &str)],
        body: Bytes,
    ) -> anyhow::Result<http::Response<Incoming>> {
        let mut request = http::Request::builder().method(method).uri(format!("{}{path}", self.base));
        if let Some(token) = &self.token {
            request = request.header(header::AUTHORIZATION, format!("Bearer {token}"));
        }
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let request = request.body(Full::new(body)).context("this cannot be sent in an HTTP request")?;
        self.http.request(request).await.with_context(|| format!("no server answers at {}", self.base))
    }

    /// Sends a request and reads all of the answer.
    ///
    /// # Errors
    /// The server cannot be reached, or its answer is too long.
    pub(crate) async fn request(
        &self,
        method: Method,
        path: &str,
        headers: &[(&str, &str)],
        body: Bytes,
    ) -> anyhow::Result<Answer> {
        let response = self.send(method, path, headers, body).await?;
        let status = response.status();
        let body = Limited::new(response.into_body(), ANSWER_BYTES_MAX).collect().await;
        let body = body.map_err(|error| anyhow::anyhow!("the answer broke off: {error}"))?.to_bytes();
        Ok(Answer { status, body })
    }

    /// As [`request`](Self::request), with JSON on both sides; an empty answer is `null`.
    ///
    /// # Errors
    /// As there, and what the server refused, with its reason.
    pub(crate) async fn json(
        &self,
        method: Method,
        path: &str,
        body: Option<&Value>,
    ) -> anyhow::Result<Value> {
        let headers: &[(&str, &str)] =
            if body.is_some() { &[("content-type", "application/json")] } else { &[] };
        let body = body.map_or_else(Bytes::new, |body| Bytes::from(body.to_string()));
        self.request(method, path, headers, body).await?.json()
    }

    /// All pages of a list.
    ///
    /// # Errors
    /// As [`json`](Self::json).
    pub(crate) async fn list(&self, path: &str, most: usize) -> anyhow::Result<Vec<Value>> {
        let mut items = Vec::new();
        let mut after: Option<String> = None;
        loop {
            let joint = if path.contains('?') { '&' } else { '?' };
            let limit = (most - items.len()).clamp(1, 1000);
            let mut page = format!("{path}{joint}limit={limit}");
            if let Some(after) = &after {
                page.push_str(&format!("&after={}", percent_encode(after)));
            }
            let mut answer = self.json(Method::GET, &page, None).await?;
            if let Value::Array(more) = answer["items"].take() {
                items.extend(more);
            }
            after = match answer["next"].take() {
                Value::String(next) => Some(next),
                Value::Number(next) => Some(next.to_string()),
                _ => None,
            };
            if after.is_none() || items.len() >= most {
                return Ok(items);
            }
        }
    }
}

impl Answer {
    /// The body as JSON, or what was refused.
    ///
    /// # Errors
    /// The status is not a good one, or the body is no JSON.
    pub(crate) fn json(&self) -> anyhow::Result<Value> {
        if self.status.is_success() {
            if self.body.is_empty() {
                return Ok(Value::Null);
            }
            return serde_json::from_slice(&self.body).context("the answer is no JSON: is this Yizhan?");
        }
        let refusal: Value = serde_json::from_slice(&self.body).unwrap_or_default();
        match (refusal["code"].as_u64(), refusal["reason"].as_str()) {
            (Some(code), Some(reason)) => bail!("refused ({code}): {reason}"),
            _ => bail!("the server answered with status {}", self.status),
        }
    }
}

/// For a path or a query: everything but letters, digits and `-._~/` is encoded (RFC 3986 §2.1).
pub(crate) fn percent_encode(text: &str) -> String {
    let mut encoded = String::with_capacity(text.len());
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~/".contains(&byte) {
            encoded.push(char::from(byte));
        } else {
            encoded.push_str(&format!("%{byte:02X}"));
        }
    }
    encoded
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_encoded_for_paths() {
        assert_eq!(percent_encode("rooms/kitchen 1/#+é"), "rooms/kitchen%201/%23%2B%C3%A9");
    }

    #[test]
    fn a_local_token_is_not_sent_to_others() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(token_path(folder.path()), "yz_local\n").unwrap();
        let run = RunFile {
            pid: std::process::id(),
            version: String::new(),
            started_at: 0,
            secure: false,
            doors: [("http".to_owned(), vec!["127.0.0.1:9000".parse().unwrap()])].into(),
        };
        std::fs::write(RunFile::path(folder.path()), serde_json::to_vec(&run).unwrap()).unwrap();
        let reach = |server: Option<&str>| Reach {
            server: server.map(str::to_owned),
            token: None,
            ca: None,
            data: folder.path().to_owned(),
        };
        assert_eq!(reach(None).url(), "http://localhost:9000");
        assert_eq!(reach(None).token().as_deref(), Some("yz_local"));
        assert_eq!(reach(Some("127.0.0.1:9000")).token().as_deref(), Some("yz_local"));
        assert_eq!(reach(Some("http://example.org:9000")).token(), None);
        assert_eq!(reach(Some("http://127.0.0.1:9001")).token(), None);
    }
}
