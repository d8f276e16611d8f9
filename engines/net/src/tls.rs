//! TLS from files that may change while the server runs.

use std::{
    io,
    path::{Path, PathBuf},
    sync::Arc,
    time::SystemTime,
};

use arc_swap::ArcSwap;
use parking_lot::Mutex;
use rustls::{
    RootCertStore, ServerConfig,
    crypto::{CryptoProvider, ring::default_provider},
    server::WebPkiClientVerifier,
};
use rustls_pki_types::{
    CertificateDer, PrivateKeyDer,
    pem::{self, PemObject},
};
use tokio_rustls::{TlsAcceptor, server::TlsStream};

use crate::{ClientCertificate, TlsFiles};

/// Bytes that a certificate or key file may have.
const FILE_BYTES_MAX: u64 = 1024 * 1024;

/// What is wrong with the files.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// It cannot be read.
    #[error("cannot read {what} file '{}': {cause}", path.display())]
    Read {
        /// `cert`, `key`, `ca` or `client_ca`.
        what: &'static str,
        /// Which file.
        path: PathBuf,
        /// Why.
        cause: io::Error,
    },
    /// It is not what it should be.
    #[error("{what} file '{}': {reason}", path.display())]
    Content {
        /// `cert`, `key`, `ca` or `client_ca`.
        what: &'static str,
        /// Which file.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// The files are good, and do not fit together.
    #[error("'{}' and '{}' do not fit together: {reason}", cert.display(), key.display())]
    Mismatch {
        /// The certificate's file.
        cert: PathBuf,
        /// The key's file.
        key: PathBuf,
        /// Why.
        reason: String,
    },
    /// `client_required` without `client_ca`.
    #[error("client_required needs client_ca: whose certificates are taken?")]
    NoClientCa,
}

/// TLS for one port: new connections have what the files held when they last changed.
pub(crate) struct Tls {
    files: TlsFiles,
    h2: bool,
    current: ArcSwap<ServerConfig>,
    stamps: Mutex<Stamps>,
}

/// When the files were last changed, and how long they are.
type Stamps = Vec<Option<(SystemTime, u64)>>;

impl Tls {
    /// `h2`: whether HTTP is spoken, so that HTTP/2 may be agreed on.
    pub(crate) fn load(files: &TlsFiles, h2: bool) -> Result<Self, TlsError> {
        // Before the files are read: a change in between is seen again later.
        let stamps = stamps(files);
        let config = read(files, h2)?;
        Ok(Self {
            files: files.clone(),
            h2,
            current: ArcSwap::from_pointee(config),
            stamps: Mutex::new(stamps),
        })
    }

    pub(crate) fn acceptor(&self) -> TlsAcceptor {
        TlsAcceptor::from(self.current.load_full())
    }

    /// Reads the files again if they have changed, or anyway if `force`. Says whether it did.
    ///
    /// # Errors
    /// They are not good; the old ones stay, until the files change again.
    pub(crate) fn reload(&self, force: bool) -> Result<bool, TlsError> {
        let now = stamps(&self.files);
        let mut known = self.stamps.lock();
        if *known == now && !force {
            return Ok(false);
        }
        *known = now;
        self.current.store(Arc::new(read(&self.files, self.h2)?));
        Ok(true)
    }
}

/// The verified certificate of who is at the other end.
pub(crate) fn client_certificate(
    stream: &TlsStream<tokio::net::TcpStream>,
) -> Option<Arc<ClientCertificate>> {
    let der = stream.get_ref().1.peer_certificates()?.first()?.to_vec();
    let mut fingerprint = [0; 32];
    fingerprint.copy_from_slice(ring::digest::digest(&ring::digest::SHA256, &der).as_ref());
    Some(Arc::new(ClientCertificate { fingerprint, der }))
}

fn stamps(files: &TlsFiles) -> Stamps {
    [Some(&files.cert), Some(&files.key), files.client_ca.as_ref()]
        .into_iter()
        .flatten()
        .map(|path| {
            let meta = std::fs::metadata(path).ok()?;
            Some((meta.modified().ok()?, meta.len()))
        })
        .collect()
}

fn read(files: &TlsFiles, h2: bool) -> Result<ServerConfig, TlsError> {
    let provider = Arc::new(default_provider());
    let chain = certificates("cert", &files.cert)?;
    let key = PrivateKeyDer::from_pem_slice(&bytes("key", &files.key)?).map_err(|error| {
        let reason = match error {
            pem::Error::NoItemsFound => "it has no private key in PEM form".to_owned(),
            error => error.to_string(),
        };
        TlsError::Content { what: "key", path: files.key.clone(), reason }
    })?;
    let builder = ServerConfig::builder_with_provider(Arc::clone(&provider))
        .with_safe_default_protocol_versions()
        .map_err(|error| mismatch(files, error))?;
    let builder = match &files.client_ca {
        Some(path) => builder.with_client_cert_verifier(verifier(path, files.client_required, provider)?),
        None if files.client_required => return Err(TlsError::NoClientCa),
        None => builder.with_no_client_auth(),
    };
    let mut config = builder.with_single_cert(chain, key).map_err(|error| mismatch(files, error))?;
    if h2 {
        config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    }
    Ok(config)
}

fn verifier(
    path: &Path,
    required: bool,
    provider: Arc<CryptoProvider>,
) -> Result<Arc<dyn rustls::server::danger::ClientCertVerifier>, TlsError> {
    let wrong = |reason: String| TlsError::Content { what: "client_ca", path: path.to_path_buf(), reason };
    let mut roots = RootCertStore::empty();
    for certificate in certificates("client_ca", path)? {
        roots.add(certificate).map_err(|error| wrong(error.to_string()))?;
    }
    let builder = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider);
    let builder = if required { builder } else { builder.allow_unauthenticated() };
    builder.build().map_err(|error| wrong(error.to_string())).map(|verifier| verifier as _)
}

pub(crate) fn certificates(
    what: &'static str,
    path: &Path,
) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    let wrong = |reason: String| TlsError::Content { what, path: path.to_path_buf(), reason };
    let chain: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&bytes(what, path)?).collect();
    let chain = chain.map_err(|error| wrong(error.to_string()))?;
    if chain.is_empty() {
        return Err(wrong("it has no certificate in PEM form".to_owned()));
    }
    Ok(chain)
}

pub(crate) fn bytes(what: &'static str, path: &Path) -> Result<Vec<u8>, TlsError> {
    let failed = |cause| TlsError::Read { what, path: path.to_path_buf(), cause };
    if std::fs::metadata(path).map_err(failed)?.len() > FILE_BYTES_MAX {
        return Err(failed(io::Error::other("it is too large for a PEM file")));
    }
    std::fs::read(path).map_err(failed)
}

fn mismatch(files: &TlsFiles, error: rustls::Error) -> TlsError {
    TlsError::Mismatch { cert: files.cert.clone(), key: files.key.clone(), reason: error.to_string() }
}
