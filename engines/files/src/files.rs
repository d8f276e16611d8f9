//! All of it together: uploads in, files out.

use std::{fs::File, ops::Range, path::Path, sync::Arc, time::SystemTime};

use bytes::Bytes;
use futures_util::StreamExt as _;
use tokio::{sync::Semaphore, task::spawn_blocking};

use crate::{
    config::Config,
    error::FilesError,
    finished::{Finished, Flaw, ImageFacts, Kind, Thumbnail},
    folder::Kept,
    fresh::Fresh,
    hash::Hash,
    look::{Looked, Raster, look},
    meters::Meters,
    picture::{Picture, admit, draw},
    source::Source,
    staging::{Entry, Lease, Limits, Staging},
    store::{Content, Reading, Store, Wanted},
};

/// Images that are decoded at the same time. A large one counts for more, see [`Inner::draw`].
const DRAWS_MAX: u32 = 2;

/// Parts that the pixels in work are counted in.
const DRAW_PARTS: u32 = 100;

/// Files: takes them in, keeps them, gives them out. A clone is the same files.
#[derive(Debug, Clone)]
pub struct Files {
    inner: Arc<Inner>,
}

/// What a sweep took away.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Swept {
    /// Uploads that got nothing for too long.
    pub abandoned: usize,
    /// Finished uploads that nobody will ask for any more. Their files stay.
    pub forgotten: usize,
}

#[derive(Debug)]
struct Inner {
    staging: Arc<Staging>,
    store: Store,
    fresh: Fresh,
    draws: Semaphore,
    meters: Arc<Meters>,
    bytes_max: u64,
    pixels_max: u64,
    side_px: u32,
}

impl Files {
    /// Opens the place of files, and finds the uploads in `staging`, a folder of this machine that nobody
    /// else writes to. A bucket that cannot be reached is only logged, because it may come back.
    ///
    /// # Errors
    /// [`FilesError::BadPlace`], and what the disk says.
    pub async fn open(staging: &Path, config: Config) -> Result<Self, FilesError> {
        let store = Store::open(&config.place, config.reserve_bytes).await?;
        Self::with_store(staging, config, store).await
    }

    pub(crate) async fn with_store(staging: &Path, config: Config, store: Store) -> Result<Self, FilesError> {
        let meters = Arc::new(Meters::default());
        let (root, counts) = (staging.to_owned(), meters.clone());
        let limits = Limits {
            bytes_max: config.upload_bytes_max,
            uploads_max: config.uploads_open_max,
            idle_max: config.upload_idle_max,
            reserve_bytes: config.reserve_bytes,
        };
        let staging = Arc::new(spawn_blocking(move || Staging::open(&root, limits, counts)).await??);
        let inner = Inner {
            staging,
            store,
            fresh: Fresh::new(),
            draws: Semaphore::new(DRAW_PARTS as usize),
            meters,
            bytes_max: config.upload_bytes_max,
            pixels_max: config.image_pixels_max.max(1),
            side_px: config.thumbnail_side_px.max(1),
        };
        Ok(Self { inner: Arc::new(inner) })
    }

    /// Begins an upload of `bytes` bytes. `id` is the caller's, 16 to 64 of `a-z0-9`, and should not be
    /// guessable: whoever knows it can write. To begin again with the same length is fine.
    ///
    /// # Errors
    /// [`FilesError::BadId`], [`TooLarge`](FilesError::TooLarge), [`TooMany`](FilesError::TooMany),
    /// [`Exists`](FilesError::Exists) with another length, [`Busy`](FilesError::Busy) while an upload with this
    /// id ends, [`Full`](FilesError::Full), and what the disk says.
    pub async fn begin(&self, id: &str, bytes: u64) -> Result<(), FilesError> {
        self.inner.staging.begin(id, bytes).await
    }

    /// How many bytes of an upload are there. They are safe, even if the machine loses its power: go on from
    /// there. Of a finished one it is all.
    ///
    /// # Errors
    /// [`FilesError::BadId`], [`Unknown`](FilesError::Unknown), and what the disk says.
    pub async fn offset(&self, id: &str) -> Result<u64, FilesError> {
        match self.inner.staging.enter(id).await? {
            Entry::Open(lease) => spawn_blocking(move || lease.offset()).await?,
            Entry::Done(finished) => Ok(finished.bytes),
        }
    }

    /// Adds a piece that begins at `at`, and says how many bytes are there then. These outlive the process;
    /// [`Files::offset`] says what outlives the machine's power. The piece is written also when nobody waits
    /// for the answer any more.
    ///
    /// # Errors
    /// [`FilesError::Conflict`] where the upload is elsewhere, [`TooLarge`](FilesError::TooLarge) beyond its
    /// length, [`Busy`](FilesError::Busy) while another piece is written, [`Full`](FilesError::Full) with
    /// nothing of the piece kept, [`BadId`](FilesError::BadId), [`Unknown`](FilesError::Unknown) also of
    /// a finished one, and what the disk says.
    pub async fn append(&self, id: &str, at: u64, piece: Bytes) -> Result<u64, FilesError> {
        self.inner.staging.append(id, at, piece).await
    }

    /// Ends a complete upload: looks into it, makes a thumbnail, keeps it, and only then takes the upload
    /// away. When this answers, the file is safe. It may be asked again, also after a restart, until
    /// [`Config::upload_idle_max`] has passed, and gives the same. It goes on though nobody waits for it.
    ///
    /// For at least five minutes from then [`Files::remove`] refuses this file and its thumbnail, so that the
    /// caller can note that it uses them.
    ///
    /// # Errors
    /// [`FilesError::Incomplete`], [`BadId`](FilesError::BadId), [`Unknown`](FilesError::Unknown),
    /// [`Full`](FilesError::Full), and what the disk or the bucket says. After an error the upload is still
    /// there.
    pub async fn finish(&self, id: &str) -> Result<Finished, FilesError> {
        let inner = self.inner.clone();
        match inner.staging.enter(id).await? {
            Entry::Open(lease) => tokio::spawn(inner.complete(lease)).await?,
            Entry::Done(finished) => {
                self.inner.note(&finished).await?;
                // It may have been removed since, and then there is nothing to speak of.
                let there = self.inner.store.bytes(finished.hash).await?;
                there.map(|_| *finished).ok_or(FilesError::Unknown)
            }
        }
    }

    /// Gives an upload up. One that is not there, or was finished, is fine.
    ///
    /// # Errors
    /// [`FilesError::BadId`], and what the disk says.
    pub async fn abort(&self, id: &str) -> Result<(), FilesError> {
        match self.inner.staging.enter(id).await {
            Ok(Entry::Open(lease)) => {
                let staging = self.inner.staging.clone();
                spawn_blocking(move || staging.abandon(&lease)).await?
            }
            Ok(Entry::Done(_)) | Err(FilesError::Unknown) => Ok(()),
            Err(error) => Err(error),
        }
    }

    /// Takes in a small file that is all in memory. As safe as [`Files::finish`], and goes on like it.
    ///
    /// # Errors
    /// [`FilesError::TooLarge`], [`Full`](FilesError::Full), and what the disk or the bucket says.
    pub async fn put(&self, bytes: Bytes) -> Result<Finished, FilesError> {
        if bytes.len() as u64 > self.inner.bytes_max {
            return Err(FilesError::TooLarge { max: self.inner.bytes_max });
        }
        let inner = self.inner.clone();
        tokio::spawn(async move {
            inner.meters.bytes_in.add(bytes.len() as u64);
            let (hash, bytes) = spawn_blocking(move || (Hash::of(&bytes), bytes)).await?;
            inner.take(hash, Content::Memory(bytes)).await
        })
        .await?
    }

    /// Reads a file in pieces, or the part of it that `range` names; its end may lie beyond the file's.
    ///
    /// # Errors
    /// [`FilesError::Missing`], [`Range`](FilesError::Range) where nothing of the file is in it, and what the
    /// disk or the bucket says, also later in the stream.
    pub async fn read(&self, hash: &Hash, range: Option<Range<u64>>) -> Result<Reading, FilesError> {
        let wanted = range.map_or(Wanted::All, Wanted::Part);
        let reading = self.inner.store.read(*hash, wanted).await?;
        let meters = self.inner.meters.clone();
        let count = move |piece: &Result<Bytes, FilesError>| {
            if let Ok(piece) = piece {
                meters.bytes_out.add(piece.len() as u64);
            }
        };
        Ok(Reading { stream: reading.stream.inspect(count).boxed(), ..reading })
    }

    /// Bytes of a file; `None` where there is no such file.
    ///
    /// # Errors
    /// What the disk or the bucket says.
    pub async fn bytes(&self, hash: &Hash) -> Result<Option<u64>, FilesError> {
        self.inner.store.bytes(*hash).await
    }

    /// Removes a file that nobody uses any more. One that is not there is fine. Who reads it now may read on.
    ///
    /// # Errors
    /// [`FilesError::Fresh`] where the same content was finished a few minutes ago: look again who uses it,
    /// and try later. And what the disk or the bucket says.
    pub async fn remove(&self, hash: &Hash) -> Result<(), FilesError> {
        let _turn = self.inner.fresh.leave(hash).await?;
        self.inner.store.remove(*hash).await?;
        self.inner.meters.removed.one();
        Ok(())
    }

    /// Gives up the uploads that got nothing for [`Config::upload_idle_max`]. For the server to call every
    /// few minutes, with the time of this machine's files.
    ///
    /// # Errors
    /// What the disk says.
    pub async fn sweep(&self, now: SystemTime) -> Result<Swept, FilesError> {
        let staging = self.inner.staging.clone();
        let (abandoned, forgotten) = spawn_blocking(move || staging.sweep(now)).await??;
        Ok(Swept { abandoned, forgotten })
    }

    /// What was counted.
    pub fn figures(&self) -> &Meters {
        &self.inner.meters
    }

    #[cfg(test)]
    pub(crate) fn let_age(&self) {
        self.inner.fresh.forget();
    }

    #[cfg(test)]
    pub(crate) fn set_room(&self, bytes: Option<u64>) {
        *self.inner.staging.room.lock() = bytes;
    }
}

impl Inner {
    async fn complete(self: Arc<Self>, lease: Lease) -> Result<Finished, FilesError> {
        let (sealed, lease) = spawn_blocking(move || (lease.seal(), lease)).await?;
        let sealed = sealed?;
        let finished = self.take(sealed.hash, Content::Staged(sealed.path, sealed.bytes)).await?;
        let (staging, done) = (self.staging.clone(), finished.clone());
        spawn_blocking(move || staging.close(&lease, &done)).await??;
        Ok(finished)
    }

    /// Looks into a complete file and keeps it. The thumbnail first: whoever sees the file sees all of it.
    async fn take(&self, hash: Hash, content: Content) -> Result<Finished, FilesError> {
        let bytes = content.bytes();
        let from = content.clone();
        let (source, looked) = spawn_blocking(move || {
            let mut source = match from {
                Content::Staged(path, _) => Source::file(File::open(path)?)?,
                Content::Memory(bytes) => Source::memory(bytes),
            };
            let looked = look(&mut source);
            Ok::<_, FilesError>((source, looked))
        })
        .await??;
        let Looked { media_type, kind, raster, size, sound, video, flaw } = looked;
        let mut finished = Finished {
            hash,
            bytes,
            media_type: media_type.to_owned(),
            kind,
            image: size.map(|(width, height)| ImageFacts { width, height, thumbnail: None, blur: None }),
            sound,
            video,
            flaw,
        };
        if let Some(raster) = raster {
            match self.draw(source, raster).await {
                Ok(picture) => finished.image = Some(self.keep_picture(picture).await?),
                Err(flaw) => {
                    finished.flaw = Some(flaw);
                    // What cannot be decoded here is not shown elsewhere as an image either.
                    if flaw == Flaw::BrokenImage {
                        self.meters.broken_images.one();
                        (finished.kind, finished.image) = (Kind::Other, None);
                    }
                }
            }
        }
        self.keep(hash, content).await?;
        self.meters.finished.one();
        Ok(finished)
    }

    /// Decodes an image on a thread of its own, when its turn comes.
    async fn draw(&self, source: Source, raster: Raster) -> Result<Picture, Flaw> {
        admit(&raster, source.bytes(), self.pixels_max)?;
        let pixels = u64::from(raster.width) * u64::from(raster.height);
        let parts = (pixels.saturating_mul(DRAW_PARTS.into()) / self.pixels_max) as u32;
        // So large images wait until there is memory for them, and small ones until there is a thread.
        let parts = parts.clamp(DRAW_PARTS / DRAWS_MAX, DRAW_PARTS);
        let _turn = self.draws.acquire_many(parts).await.map_err(|_| Flaw::BrokenImage)?;
        let (side, pixels_max) = (self.side_px, self.pixels_max);
        // A decoder that panics has met a broken image: the thread says so, and nothing is shared with it.
        let drawn = spawn_blocking(move || draw(&source, &raster, side, pixels_max)).await;
        drawn.unwrap_or(Err(Flaw::BrokenImage))
    }

    async fn keep_picture(&self, picture: Picture) -> Result<ImageFacts, FilesError> {
        let bytes = Bytes::from(picture.thumbnail);
        let thumbnail = Thumbnail {
            hash: Hash::of(&bytes),
            bytes: bytes.len() as u64,
            media_type: picture.thumbnail_type.to_owned(),
            width: picture.thumbnail_width,
            height: picture.thumbnail_height,
        };
        self.keep(thumbnail.hash, Content::Memory(bytes)).await?;
        self.meters.thumbnails.one();
        let (width, height) = (picture.width, picture.height);
        Ok(ImageFacts { width, height, thumbnail: Some(thumbnail), blur: picture.blur })
    }

    /// Keeps one content, and sees to it that nobody removes it for a while.
    async fn keep(&self, hash: Hash, content: Content) -> Result<(), FilesError> {
        let bytes = content.bytes();
        self.fresh.note(&hash).await?;
        match self.store.keep(hash, content).await {
            Ok(Kept::New) => self.meters.bytes_kept.add(bytes),
            Ok(Kept::Known) => self.meters.known.one(),
            Err(error) => {
                if matches!(error, FilesError::Full) {
                    self.meters.full.one();
                }
                return Err(error);
            }
        }
        // A large file may have taken longer than it stays fresh.
        self.fresh.note(&hash).await
    }

    /// A finished upload that is asked for again is about to be used again.
    async fn note(&self, finished: &Finished) -> Result<(), FilesError> {
        self.fresh.note(&finished.hash).await?;
        let thumbnail = finished.image.as_ref().and_then(|image| image.thumbnail.as_ref());
        match thumbnail {
            Some(thumbnail) => self.fresh.note(&thumbnail.hash).await,
            None => Ok(()),
        }
    }
}
