//! Files in a bucket: the logic with a store in memory, the wire with a small S3 of our own.

use std::{
    collections::BTreeMap,
    convert::Infallible,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

use bytes::Bytes;
use futures_util::TryStreamExt as _;
use http_body_util::{BodyExt as _, Full};
use hyper::{Method, Request, Response, StatusCode, body::Incoming, header, service::service_fn};
use hyper_util::rt::TokioIo;
use object_store::{ObjectStore, memory::InMemory};
use parking_lot::Mutex;

use super::support::{Home, ID, noise, read, upload};
use crate::{Config, Files, FilesError, Hash, Place, Secret, bucket::Bucket, store::Store};

async fn open_in_memory(home: &Home, store: &Arc<InMemory>) -> Files {
    let bucket = Bucket::with_store(store.clone(), "team/files").unwrap();
    Files::with_store(&home.staging(), home.config(), Store::Bucket(bucket)).await.unwrap()
}

#[tokio::test]
async fn a_bucket_keeps_files_as_a_folder_does() {
    let (home, store) = (Home::new(), Arc::new(InMemory::new()));
    let files = open_in_memory(&home, &store).await;
    let small = upload(&files, ID, b"hello").await;
    let again = files.put(Bytes::from_static(b"hello")).await.unwrap();
    assert_eq!(small, again);
    assert_eq!(files.figures().known.value(), 1);
    assert_eq!(read(&files, &small.hash, None).await.unwrap(), b"hello");
    assert_eq!(files.bytes(&small.hash).await.unwrap(), Some(5));
    let keys: Vec<_> =
        store.list(None).map_ok(|about| about.location.to_string()).try_collect().await.unwrap();
    assert_eq!(keys, [format!("team/files/{}", small.hash.path())]);
    files.let_age();
    files.remove(&small.hash).await.unwrap();
    files.remove(&small.hash).await.unwrap();
    assert!(matches!(files.read(&small.hash, None).await, Err(FilesError::Missing)));
    assert!(matches!(files.read(&small.hash, Some(0..1)).await, Err(FilesError::Missing)));
    assert_eq!(files.bytes(&small.hash).await.unwrap(), None);
}

#[tokio::test]
async fn ranges_of_a_bucket_are_those_of_a_folder() {
    let (home, store) = (Home::new(), Arc::new(InMemory::new()));
    let files = open_in_memory(&home, &store).await;
    let content = noise(1_000);
    let hash = files.put(content.clone().into()).await.unwrap().hash;
    for range in [0..1, 0..1_000, 999..1_000, 5..7] {
        let part = &content[range.start as usize..range.end as usize];
        assert_eq!(read(&files, &hash, Some(range)).await.unwrap(), part);
    }
    assert_eq!(read(&files, &hash, Some(10..u64::MAX)).await.unwrap(), &content[10..]);
    #[expect(clippy::reversed_empty_ranges)]
    for range in [1_000..1_001, 5..5, 7..3] {
        let answer = files.read(&hash, Some(range)).await;
        assert!(matches!(answer, Err(FilesError::Range { bytes: 1_000 })), "{answer:?}");
    }
    let empty = files.put(Bytes::new()).await.unwrap().hash;
    assert_eq!(read(&files, &empty, None).await.unwrap(), b"");
}

#[tokio::test]
async fn a_large_file_goes_in_parts() {
    let (home, store) = (Home::new(), Arc::new(InMemory::new()));
    let files = open_in_memory(&home, &store).await;
    let content = noise(20 << 20);
    let finished = upload(&files, ID, &content).await;
    assert!(read(&files, &finished.hash, None).await.unwrap() == content);
}

#[test]
fn what_is_no_address_is_said_at_the_start() {
    for endpoint in ["", "s3.example", "ftp://s3.example"] {
        assert!(matches!(Bucket::open(&place(endpoint)), Err(FilesError::BadPlace(_))), "{endpoint}");
    }
    assert!(Bucket::open(&place("https://s3.example/")).is_ok());
}

fn place(endpoint: &str) -> Place {
    Place::S3 {
        endpoint: endpoint.into(),
        bucket: "chat".into(),
        region: "us-east-1".into(),
        access_key: "key".into(),
        secret_key: Secret::new("hush".into()),
        path_style: true,
        prefix: "p".into(),
    }
}

#[tokio::test]
async fn a_bucket_is_spoken_to_over_http_and_an_outage_loses_nothing() {
    let server = Server::start().await;
    let home = Home::new();
    let config = Config { place: place(&server.address), ..home.config() };
    let files = Files::open(&home.staging(), config).await.unwrap();
    let content = noise((16 << 20) + 1);
    files.begin(ID, content.len() as u64).await.unwrap();
    for (n, piece) in content.chunks(8 << 20).enumerate() {
        files.append(ID, (n * (8 << 20)) as u64, Bytes::copy_from_slice(piece)).await.unwrap();
    }
    server.is_down.store(true, Ordering::Relaxed);
    assert!(matches!(files.finish(ID).await, Err(FilesError::Failed(_))));
    assert_eq!(files.offset(ID).await.unwrap(), content.len() as u64, "the upload is still there");
    server.is_down.store(false, Ordering::Relaxed);
    let finished = files.finish(ID).await.unwrap();
    assert_eq!(finished.hash, Hash::of(&content));
    let keys: Vec<_> = server.objects.lock().keys().cloned().collect();
    assert_eq!(keys, [format!("/chat/p/{}", finished.hash.path())]);
    assert!(read(&files, &finished.hash, None).await.unwrap() == content);
    assert_eq!(read(&files, &finished.hash, Some(3..9)).await.unwrap(), &content[3..9]);
    let beyond = files.read(&finished.hash, Some(content.len() as u64..u64::MAX)).await;
    assert!(matches!(beyond, Err(FilesError::Range { .. })), "{beyond:?}");
    assert_eq!(files.put(content.clone().into()).await.unwrap(), finished);
    assert_eq!(files.figures().known.value(), 1);
    files.let_age();
    files.remove(&finished.hash).await.unwrap();
    assert!(server.objects.lock().is_empty());
}

/// As much of S3 as is spoken here. It ends with its test's runtime.
#[derive(Default)]
struct Server {
    address: String,
    objects: Mutex<BTreeMap<String, Bytes>>,
    parts: Mutex<BTreeMap<u32, Bytes>>,
    is_down: AtomicBool,
}

impl Server {
    async fn start() -> Arc<Self> {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = format!("http://{}", listener.local_addr().unwrap());
        let server = Arc::new(Self { address, ..Self::default() });
        let serving = server.clone();
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let server = serving.clone();
                let answer = service_fn(move |request| {
                    let server = server.clone();
                    async move { Ok::<_, Infallible>(server.answer(request).await) }
                });
                tokio::spawn(
                    hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(stream), answer),
                );
            }
        });
        server
    }

    async fn answer(&self, request: Request<Incoming>) -> Response<Full<Bytes>> {
        let (head, body) = request.into_parts();
        let body = body.collect().await.unwrap().to_bytes();
        if self.is_down.load(Ordering::Relaxed) {
            return status(StatusCode::SERVICE_UNAVAILABLE);
        }
        let signature = head.headers.get(header::AUTHORIZATION).and_then(|value| value.to_str().ok());
        if !signature.is_some_and(|text| text.starts_with("AWS4-HMAC-SHA256 Credential=key/")) {
            return status(StatusCode::FORBIDDEN);
        }
        let path = head.uri.path().to_owned();
        let query = head.uri.query().unwrap_or_default();
        match head.method {
            Method::POST if query.starts_with("uploads") => {
                xml("<InitiateMultipartUploadResult><UploadId>u1</UploadId></InitiateMultipartUploadResult>")
            }
            Method::POST => {
                let whole: Vec<u8> = std::mem::take(&mut *self.parts.lock())
                    .into_values()
                    .flat_map(Bytes::into_iter)
                    .collect();
                self.objects.lock().insert(path, whole.into());
                xml("<CompleteMultipartUploadResult><ETag>e</ETag></CompleteMultipartUploadResult>")
            }
            Method::PUT if query.contains("partNumber=") => {
                let number = query.split('&').find_map(|pair| pair.strip_prefix("partNumber="));
                self.parts.lock().insert(number.unwrap().parse().unwrap(), body);
                tagged(Response::builder(), Bytes::new())
            }
            Method::PUT => {
                self.objects.lock().insert(path, body);
                tagged(Response::builder(), Bytes::new())
            }
            Method::DELETE => {
                self.objects.lock().remove(&path);
                status(StatusCode::NO_CONTENT)
            }
            Method::HEAD | Method::GET => {
                let Some(object) = self.objects.lock().get(&path).cloned() else {
                    return status(StatusCode::NOT_FOUND);
                };
                Self::give(&head.method, head.headers.get(header::RANGE), object)
            }
            _ => status(StatusCode::METHOD_NOT_ALLOWED),
        }
    }

    fn give(method: &Method, range: Option<&header::HeaderValue>, object: Bytes) -> Response<Full<Bytes>> {
        if method == Method::HEAD {
            let head = Response::builder().header(header::CONTENT_LENGTH, object.len());
            return tagged(head, Bytes::new());
        }
        let Some(range) = range else { return tagged(Response::builder(), object) };
        let (from, to) = range.to_str().unwrap().strip_prefix("bytes=").unwrap().split_once('-').unwrap();
        let (from, to): (usize, usize) = (from.parse().unwrap(), to.parse().unwrap_or(usize::MAX));
        if from >= object.len() {
            return status(StatusCode::RANGE_NOT_SATISFIABLE);
        }
        let to = to.min(object.len() - 1);
        let head = Response::builder()
            .status(StatusCode::PARTIAL_CONTENT)
            .header(header::CONTENT_RANGE, format!("bytes {from}-{to}/{}", object.len()));
        tagged(head, object.slice(from..=to))
    }
}

fn status(status: StatusCode) -> Response<Full<Bytes>> {
    Response::builder().status(status).body(Full::default()).unwrap()
}

fn xml(text: &'static str) -> Response<Full<Bytes>> {
    Response::new(Full::new(Bytes::from_static(text.as_bytes())))
}

fn tagged(head: hyper::http::response::Builder, body: Bytes) -> Response<Full<Bytes>> {
    head.header(header::ETAG, "\"e\"")
        .header(header::LAST_MODIFIED, "Sat, 21 Nov 2026 15:00:00 GMT")
        .body(Full::new(body))
        .unwrap()
}
