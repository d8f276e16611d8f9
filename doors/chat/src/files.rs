//! Files over HTTP: up in pieces that may break off and go on, down by ranges.
//!
//! The service knows whose a file is and who may have it; the engine has its bytes, under the hash of its content. Read
//! in this order: [`range`] (which bytes), [`keys`] (addresses that need no credentials), [`up`], [`down`], [`sweep`].

pub(crate) mod down;
pub(crate) mod keys;
pub(crate) mod range;
pub(crate) mod sweep;
pub(crate) mod up;

use std::{sync::Arc, time::Duration};

use bytes::Bytes;
use serde_json::json;
use yizhan_files::{Files, FilesError, Finished, Kind};
use yizhan_hub::{Refused, StoreError, service::Ask};
use yizhan_im::{
    Im,
    content::FileFacts,
    files::{FileKind, FileRow, Stored, Thumb},
};

use crate::{acting::Acting, config::Files as Config, door::Inner, problem::Problem};
use keys::Keys;

/// What files are made of.
#[derive(Clone)]
pub struct FileParts {
    /// Who may have which.
    pub im: Im,
    /// Their bytes.
    pub files: Files,
    /// 128 unpredictable bits a call.
    pub random: Arc<dyn Fn() -> u128 + Send + Sync>,
}

impl std::fmt::Debug for FileParts {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("FileParts")
    }
}

/// What the routes of files share.
pub(crate) struct Shelf {
    pub(crate) im: Im,
    pub(crate) files: Files,
    pub(crate) keys: Keys,
    pub(crate) config: Config,
}

impl Shelf {
    /// A file that whoever asks may have.
    async fn file_for(&self, door: &Inner, acting: &mut Acting, id: &str) -> Result<FileRow, Problem> {
        let body = Bytes::from(json!({ "file": id }).to_string());
        acting.ask(door.hub.now(), Ask { name: "im/file".into(), body }).await?;
        self.known(id).await
    }

    /// A file, whoever wants it.
    async fn known(&self, id: &str) -> Result<FileRow, Problem> {
        let row = self.im.file_row(id).await.map_err(Refused::from)?;
        row.filter(|row| row.stored.is_some()).ok_or(Problem::NoFile)
    }
}

/// A finished upload, as the service remembers it.
fn stored(finished: Finished) -> Stored {
    let Finished { hash, bytes, media_type, kind, image, sound, video, flaw: _ } = finished;
    let kind = match kind {
        Kind::Image => FileKind::Image,
        Kind::Video => FileKind::Video,
        Kind::Audio => FileKind::Audio,
        Kind::Other => FileKind::Other,
    };
    let size = |pixels: u32| (pixels > 0).then_some(pixels);
    let (mut facts, mut waveform, mut thumb) =
        (FileFacts { bytes, media_type, ..FileFacts::default() }, Vec::new(), None);
    if let Some(image) = image {
        (facts.width, facts.height, facts.blur) = (size(image.width), size(image.height), image.blur);
        thumb = image.thumbnail.map(|small| Thumb {
            hash: small.hash.to_string(),
            bytes: small.bytes,
            media_type: small.media_type,
        });
        facts.thumb = thumb.is_some();
    }
    if let Some(video) = video {
        (facts.width, facts.height) = (size(video.width), size(video.height));
        facts.duration_ms = video.duration_ms;
    }
    if let Some(sound) = sound {
        facts.duration_ms = Some(sound.duration_ms);
        waveform = sound.waveform.unwrap_or_default();
    }
    Stored { hash: hash.to_string(), kind, facts, waveform, thumb }
}

impl From<FilesError> for Problem {
    fn from(error: FilesError) -> Self {
        match error {
            FilesError::BadId | FilesError::Unknown | FilesError::Missing => Self::NoFile,
            FilesError::TooLarge { max } => Self::FileTooLarge(max),
            FilesError::TooMany => Self::TooManyUploads,
            FilesError::Conflict { at } | FilesError::Incomplete { at } => Self::OffsetConflict(at),
            FilesError::Busy | FilesError::Fresh | FilesError::Exists => Self::UploadBusy,
            FilesError::Range { bytes } => Self::NoSuchRange(bytes),
            FilesError::Full => StoreError::Full.into(),
            FilesError::BadPlace(_) | FilesError::Failed(_) => {
                tracing::error!(%error, "the store of files failed");
                StoreError::Failed(error.to_string()).into()
            }
        }
    }
}

/// How long a signed address is good.
pub(crate) const KEY_FOR: Duration = Duration::from_secs(3600);
