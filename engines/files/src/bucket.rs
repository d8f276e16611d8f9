//! Files in a bucket of S3, by their hashes.

use std::{fs::File, os::unix::fs::FileExt as _, path::Path, sync::Arc, time::Duration};

use bytes::Bytes;
use futures_util::StreamExt as _;
use object_store::{
    BackoffConfig, Error, GetOptions, GetRange, ObjectStore, ObjectStoreExt as _, RetryConfig,
    WriteMultipart, aws::AmazonS3Builder, path::Path as Key,
};

use crate::{
    config::Place,
    courier::Courier,
    error::FilesError,
    folder::Kept,
    hash::Hash,
    store::{Reading, Wanted},
};

/// Bytes of one part of a large file; smaller files go in one piece. S3 wants 5 MiB at least, and takes
/// 10,000 parts.
const PART_BYTES: usize = 8 << 20;

/// Parts of one file that are sent at the same time. Each is in memory.
const PARTS_MAX: usize = 3;

/// A request that failed is sent again so often.
const RETRIES_MAX: usize = 4;

/// No retry begins after so long: somebody is waiting, and may ask again.
const RETRY_MAX: Duration = Duration::from_secs(60);

/// The most that may pass until the next bytes of a file come.
const SILENCE_MAX: Duration = Duration::from_secs(30);

/// How long a look at the bucket may take when the server starts.
const LOOK_MAX: Duration = Duration::from_secs(5);

/// A bucket of files.
#[derive(Debug)]
pub(crate) struct Bucket {
    store: Arc<dyn ObjectStore>,
    prefix: Key,
}

impl Bucket {
    /// A bucket as the config says. Nothing is sent yet.
    pub(crate) fn open(place: &Place) -> Result<Self, FilesError> {
        let Place::S3 { endpoint, bucket, region, access_key, secret_key, path_style, prefix } = place else {
            return Err(FilesError::BadPlace("not a bucket".into()));
        };
        let (scheme, host) = endpoint
            .split_once("://")
            .filter(|(scheme, _)| matches!(*scheme, "https" | "http"))
            .ok_or_else(|| FilesError::BadPlace(format!("'{endpoint}' is no http or https address")))?;
        let host = host.trim_end_matches('/');
        let address =
            if *path_style { format!("{scheme}://{host}") } else { format!("{scheme}://{bucket}.{host}") };
        let backoff = BackoffConfig { max_backoff: Duration::from_secs(5), ..BackoffConfig::default() };
        let store = AmazonS3Builder::new()
            .with_endpoint(address)
            .with_bucket_name(bucket)
            .with_region(region)
            .with_access_key_id(access_key)
            .with_secret_access_key(secret_key.reveal())
            .with_virtual_hosted_style_request(!path_style)
            .with_allow_http(scheme == "http")
            // Not every server that speaks S3 removes many at once, and we never do.
            .with_disable_bulk_delete(true)
            .with_retry(RetryConfig { backoff, max_retries: RETRIES_MAX, retry_timeout: RETRY_MAX })
            .with_http_connector(Courier)
            .build()
            .map_err(|error| FilesError::BadPlace(error.to_string()))?;
        Self::with_store(Arc::new(store), prefix)
    }

    /// Any store, for tests.
    pub(crate) fn with_store(store: Arc<dyn ObjectStore>, prefix: &str) -> Result<Self, FilesError> {
        let prefix = Key::parse(prefix).map_err(|error| FilesError::BadPlace(error.to_string()))?;
        Ok(Self { store, prefix })
    }

    /// Says in the log when the bucket cannot be used, which may pass.
    pub(crate) async fn look(&self) {
        let key = self.key(&Hash::of(b""));
        let trouble = match tokio::time::timeout(LOOK_MAX, self.store.head(&key)).await {
            Ok(Ok(_) | Err(Error::NotFound { .. })) => return,
            Ok(Err(error)) => error.to_string(),
            Err(_) => "no answer".to_owned(),
        };
        tracing::warn!(trouble, "the bucket of files cannot be used now");
    }

    /// Keeps a file that lies on disk.
    pub(crate) async fn keep_file(&self, hash: &Hash, from: &Path, bytes: u64) -> Result<Kept, FilesError> {
        if self.bytes(hash).await? == Some(bytes) {
            return Ok(Kept::Known);
        }
        let from = from.to_owned();
        let file = Arc::new(tokio::task::spawn_blocking(move || File::open(from)).await??);
        if bytes <= PART_BYTES as u64 {
            let all = part(file, 0, bytes).await?;
            self.store.put(&self.key(hash), all.into()).await.map_err(failed)?;
            return Ok(Kept::New);
        }
        let upload = self.store.put_multipart(&self.key(hash)).await.map_err(failed)?;
        let mut upload = WriteMultipart::new_with_chunk_size(upload, PART_BYTES);
        match send(&mut upload, file, bytes).await {
            // When this fails, it gives the parts up itself.
            Ok(()) => upload.finish().await.map_err(failed).map(|_| Kept::New),
            Err(error) => {
                // The first error says more. Parts that stay are for the bucket's own rules to remove.
                drop(upload.abort().await);
                Err(error)
            }
        }
    }

    /// Keeps what is in memory.
    pub(crate) async fn keep_bytes(&self, hash: &Hash, bytes: Bytes) -> Result<Kept, FilesError> {
        if self.bytes(hash).await? == Some(bytes.len() as u64) {
            return Ok(Kept::Known);
        }
        self.store.put(&self.key(hash), bytes.into()).await.map_err(failed)?;
        Ok(Kept::New)
    }

    /// Bytes of a file; `None` where it is not there.
    pub(crate) async fn bytes(&self, hash: &Hash) -> Result<Option<u64>, FilesError> {
        match self.store.head(&self.key(hash)).await {
            Ok(there) => Ok(Some(there.size)),
            Err(Error::NotFound { .. }) => Ok(None),
            Err(error) => Err(failed(error)),
        }
    }

    /// Reads a file, or a part of it.
    pub(crate) async fn read(&self, hash: &Hash, wanted: Wanted) -> Result<Reading, FilesError> {
        let range = match &wanted {
            Wanted::All => None,
            Wanted::Part(range) => Some(GetRange::Bounded(range.clone())),
        };
        let options = GetOptions { range, ..GetOptions::default() };
        let found = match self.store.get_opts(&self.key(hash), options).await {
            Ok(found) => found,
            Err(Error::NotFound { .. }) => return Err(FilesError::Missing),
            Err(error) => {
                // A range outside of the file is an error like any other there.
                let bytes = self.bytes(hash).await?.ok_or(FilesError::Missing)?;
                wanted.within(bytes)?;
                return Err(failed(error));
            }
        };
        let (bytes, range) = (found.meta.size, found.range.clone());
        let pieces = found.into_stream();
        let stream =
            futures_util::stream::try_unfold(pieces, async |mut pieces| {
                match tokio::time::timeout(SILENCE_MAX, pieces.next()).await {
                    Ok(Some(Ok(piece))) => Ok(Some((piece, pieces))),
                    Ok(Some(Err(error))) => Err(failed(error)),
                    Ok(None) => Ok(None),
                    Err(late) => Err(FilesError::Failed(late.into())),
                }
            });
        Ok(Reading { bytes, range, stream: stream.boxed() })
    }

    /// Takes a file away. One that is not there is fine.
    pub(crate) async fn remove(&self, hash: &Hash) -> Result<(), FilesError> {
        match self.store.delete(&self.key(hash)).await {
            Ok(()) | Err(Error::NotFound { .. }) => Ok(()),
            Err(error) => Err(failed(error)),
        }
    }

    fn key(&self, hash: &Hash) -> Key {
        let text = hash.to_string();
        self.prefix.clone().join(&text[..2]).join(&text[2..])
    }
}

async fn send(upload: &mut WriteMultipart, file: Arc<File>, bytes: u64) -> Result<(), FilesError> {
    let mut at = 0;
    while at < bytes {
        let piece = part(file.clone(), at, (bytes - at).min(PART_BYTES as u64)).await?;
        at += piece.len() as u64;
        upload.wait_for_capacity(PARTS_MAX).await.map_err(failed)?;
        upload.put(piece);
    }
    Ok(())
}

/// Reads a piece of not more than [`PART_BYTES`].
async fn part(file: Arc<File>, at: u64, bytes: u64) -> Result<Bytes, FilesError> {
    let read = move || {
        let mut piece = vec![0; bytes as usize];
        file.read_exact_at(&mut piece, at).map(|()| Bytes::from(piece))
    };
    Ok(tokio::task::spawn_blocking(read).await??)
}

fn failed(error: Error) -> FilesError {
    FilesError::Failed(error.into())
}
