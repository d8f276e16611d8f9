//! TLS: both ports, client certificates, files that change, files that are wrong.

use std::{path::Path, sync::Arc, time::Duration};

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use rustls::{ClientConfig, RootCertStore};
use rustls_pki_types::{PrivateKeyDer, ServerName, pem::PemObject};
use tokio::{io::AsyncWriteExt, net::TcpStream};
use tokio_rustls::{TlsConnector, client::TlsStream};
use yizhan_net::{
    Http, Limits, Listen, Site, SystemClock, TlsFiles,
    websocket::client::{Options, Said, connect},
};

use crate::support::{anywhere, lined_site, lined_websocket, read_line, until};

/// An authority, and a certificate for this machine.
struct Keys {
    ca: CertifiedIssuer<'static, KeyPair>,
}

impl Keys {
    fn new() -> Self {
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        Self { ca: CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap() }
    }

    /// Certificate and key in PEM form.
    fn issue(&self) -> (String, String) {
        let key = KeyPair::generate().unwrap();
        let params = CertificateParams::new(vec!["localhost".into(), "127.0.0.1".into()]).unwrap();
        (params.signed_by(&key, &self.ca).unwrap().pem(), key.serialize_pem())
    }

    fn write(&self, folder: &Path) -> TlsFiles {
        let files =
            TlsFiles { cert: folder.join("cert.pem"), key: folder.join("key.pem"), ..TlsFiles::default() };
        let (cert, key) = self.issue();
        std::fs::write(&files.cert, cert).unwrap();
        std::fs::write(&files.key, key).unwrap();
        files
    }

    fn trusting(&self) -> RootCertStore {
        let mut roots = RootCertStore::empty();
        roots.add(self.ca.der().clone()).unwrap();
        roots
    }

    fn client(&self, h2: bool) -> Arc<ClientConfig> {
        let mut config = builder().with_root_certificates(self.trusting()).with_no_client_auth();
        if h2 {
            config.alpn_protocols = vec![b"h2".to_vec()];
        }
        Arc::new(config)
    }

    fn client_with_certificate(&self) -> Arc<ClientConfig> {
        let (cert, key) = self.issue();
        let cert = rustls_pki_types::CertificateDer::from_pem_slice(cert.as_bytes()).unwrap();
        let key = PrivateKeyDer::from_pem_slice(key.as_bytes()).unwrap();
        let config =
            builder().with_root_certificates(self.trusting()).with_client_auth_cert(vec![cert], key).unwrap();
        Arc::new(config)
    }
}

fn builder() -> rustls::ConfigBuilder<ClientConfig, rustls::WantsVerifier> {
    ClientConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
}

async fn shake(
    address: std::net::SocketAddr,
    config: Arc<ClientConfig>,
) -> std::io::Result<TlsStream<TcpStream>> {
    let name = ServerName::try_from("localhost").unwrap();
    TlsConnector::from(config).connect(name, TcpStream::connect(address).await?).await
}

#[tokio::test]
async fn a_port_speaks_tls_and_takes_new_files() {
    let folder = tempfile::tempdir().unwrap();
    let (old, new) = (Keys::new(), Keys::new());
    let files = old.write(folder.path());
    let listen = Listen { tls: Some(files.clone()), ..Listen::at(anywhere()) };
    let (site, _desk) = lined_site(Limits::default(), &listen);
    let open = site.start().unwrap();
    let address = open.bound()["lined"][0];
    let mut stream = shake(address, old.client(false)).await.unwrap();
    stream.write_all(b"say hello\n").await.unwrap();
    assert_eq!(read_line(&mut stream).await, "hello");
    assert!(shake(address, new.client(false)).await.is_err(), "of another authority");

    std::fs::write(&files.key, "not a key").unwrap();
    let wrong = open.reload(Limits::default());
    assert!(wrong[0].to_string().contains("lined.tls: key file"), "{}", wrong[0]);
    assert!(shake(address, old.client(false)).await.is_ok(), "the old files stay");

    new.write(folder.path());
    assert!(open.reload(Limits::default()).is_empty());
    assert!(shake(address, new.client(false)).await.is_ok());
    assert!(shake(address, old.client(false)).await.is_err());
    stream.write_all(b"say still here\n").await.unwrap();
    assert_eq!(read_line(&mut stream).await, "still here");
    until("failures are counted", || open.meters().handshakes_failed.value() == 2).await;
}

#[tokio::test]
async fn files_that_change_are_read_without_being_asked() {
    let folder = tempfile::tempdir().unwrap();
    let (old, new) = (Keys::new(), Keys::new());
    let listen = Listen { tls: Some(old.write(folder.path())), ..Listen::at(anywhere()) };
    let (site, _desk) = lined_site(Limits::default(), &listen);
    let open = site.start().unwrap();
    let address = open.bound()["lined"][0];
    new.write(folder.path());
    for _ in 0..200 {
        if shake(address, new.client(false)).await.is_ok() {
            return;
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    panic!("the new files were not read");
}

#[tokio::test]
async fn a_client_certificate_is_asked_for_checked_and_shown() {
    let folder = tempfile::tempdir().unwrap();
    let (keys, others) = (Keys::new(), Keys::new());
    let ca = folder.path().join("ca.pem");
    std::fs::write(&ca, keys.ca.pem()).unwrap();
    let files = TlsFiles { client_ca: Some(ca), ..keys.write(folder.path()) };
    let mut site = Site::new(Limits::default(), Arc::new(SystemClock));
    let (sender, mut seen) = tokio::sync::mpsc::channel(8);
    for (door, client_required) in [("optional", false), ("required", true)] {
        let files = TlsFiles { client_required, ..files.clone() };
        let listen = Listen { tls: Some(files), ..Listen::at(anywhere()) };
        let sender = sender.clone();
        site.tcp(door, &listen, move |stream| {
            let (sender, peer) = (sender.clone(), stream.peer().clone());
            Box::pin(async move {
                sender.send((peer.secure, peer.certificate)).await.unwrap();
                yizhan_net::Ended::Left
            })
        })
        .unwrap();
    }
    let open = site.start().unwrap();
    let (optional, required) = (open.bound()["optional"][0], open.bound()["required"][0]);
    shake(optional, keys.client(false)).await.unwrap();
    assert_eq!(seen.recv().await.unwrap(), (true, None));
    shake(optional, keys.client_with_certificate()).await.unwrap();
    let (_, certificate) = seen.recv().await.unwrap();
    assert_eq!(certificate.unwrap().fingerprint.len(), 32);
    shake(required, keys.client_with_certificate()).await.unwrap();
    assert!(seen.recv().await.unwrap().1.is_some());
    // In TLS 1.3 the client's handshake is over before the server has judged it.
    drop(shake(required, keys.client(false)).await);
    // It trusts the server, and the server does not trust it.
    let mut strange = keys.client_with_certificate();
    Arc::make_mut(&mut strange).client_auth_cert_resolver =
        Arc::clone(&others.client_with_certificate().client_auth_cert_resolver);
    drop(shake(required, strange).await);
    until("both are refused", || open.meters().handshakes_failed.value() == 2).await;
}

#[tokio::test]
async fn http_and_websockets_go_over_tls() {
    let folder = tempfile::tempdir().unwrap();
    let keys = Keys::new();
    let config = Http { listen: vec![anywhere()], tls: Some(keys.write(folder.path())), ..Http::default() };
    let mut site = Site::new(Limits::default(), Arc::new(SystemClock));
    site.listen_http(&config).unwrap();
    let desk = lined_websocket(&mut site);
    let open = site.start().unwrap();
    let address = open.bound()["http"][0];
    let options = Options { tls: Some(keys.client(false)), ..Options::default() };
    let mut client = connect(&format!("wss://localhost:{}/lined", address.port()), &options).await.unwrap();
    // More than one TLS record each way.
    let long = "x".repeat(200_000);
    client.send_text(&format!("say {long}")).await.unwrap();
    let Said::Message(_, heard) = client.next().await.unwrap() else { panic!("no message") };
    assert_eq!(heard.len(), long.len());
    for i in 0..1000 {
        desk.deliver(i.to_string());
    }
    for i in 0..1000 {
        let Said::Message(_, heard) = client.next().await.unwrap() else { panic!("no message") };
        assert_eq!(heard, format!("> {i}"));
    }
    assert!(open.lines().list(0, 10)[0].secure);
    let (code, _) = client.close(1000, "").await.unwrap();
    assert_eq!(code, 1000);

    let stream = shake(address, keys.client(true)).await.unwrap();
    assert_eq!(stream.get_ref().1.alpn_protocol(), Some(&b"h2"[..]));
}

#[test]
fn files_that_are_wrong_are_named() {
    let folder = tempfile::tempdir().unwrap();
    let keys = Keys::new();
    let good = keys.write(folder.path());
    let missing = folder.path().join("missing.pem");
    let empty = folder.path().join("empty.pem");
    std::fs::write(&empty, "").unwrap();
    let other_key = folder.path().join("other.pem");
    std::fs::write(&other_key, keys.issue().1).unwrap();
    for (files, says) in [
        (TlsFiles { cert: missing.clone(), ..good.clone() }, "cannot read cert file"),
        (TlsFiles { key: missing.clone(), ..good.clone() }, "missing.pem"),
        (TlsFiles { cert: empty.clone(), ..good.clone() }, "it has no certificate"),
        (TlsFiles { key: good.cert.clone(), ..good.clone() }, "it has no private key"),
        (TlsFiles { key: other_key, ..good.clone() }, "do not fit together"),
        (TlsFiles { client_required: true, ..good.clone() }, "client_required needs client_ca"),
        (TlsFiles { client_ca: Some(empty), ..good.clone() }, "client_ca file"),
    ] {
        let mut site = Site::new(Limits::default(), Arc::new(SystemClock));
        let listen = Listen { tls: Some(files), ..Listen::at(anywhere()) };
        let error = site.tcp("lined", &listen, |_| unreachable!()).unwrap_err().to_string();
        assert!(error.starts_with("lined.tls: ") && error.contains(says), "{error}");
    }
}
