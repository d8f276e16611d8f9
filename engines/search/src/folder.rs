//! The folder of an index: whose it is, which version it has, and what to do when it is damaged.
//!
//! It has `format` (a line that says what this is), `lock` (held while it is open), `index` (tantivy's files)
//! and, after a misfortune, `damaged` (the index as it was found, the latest one).

use std::{
    fs::{self, File, TryLockError},
    io,
    panic::{AssertUnwindSafe, catch_unwind},
    path::{Path, PathBuf},
};

use tantivy::{Directory, Index, IndexReader, IndexSettings, ReloadPolicy, directory::MmapDirectory};

use crate::{
    error::{SearchError, outage},
    schema::{Fields, VERSION},
};

const FORMAT: &str = "format";
/// `format` before it has its name, so that it is never half a line.
const FORMAT_NEW: &str = "format.new";
const LOCK: &str = "lock";
pub(crate) const INDEX: &str = "index";
const DAMAGED: &str = "damaged";

/// How tantivy reaches its files: straight, except in tests.
pub(crate) type Files = dyn Fn(MmapDirectory) -> Box<dyn Directory> + Send + Sync;

/// An index that is open.
pub(crate) struct Opening {
    pub(crate) index: Index,
    pub(crate) reader: IndexReader,
    /// It has nothing of what was there before.
    pub(crate) fresh: bool,
    /// Held as long as it is open.
    pub(crate) lock: File,
}

/// Opens the index in `folder`, or makes a new one.
pub(crate) fn open(folder: &Path, fields: &Fields, files: &Files) -> Result<Opening, SearchError> {
    let place = Place { folder, path: folder.join(INDEX) };
    let version = place.version()?;
    let lock = place.lock()?;
    if version == Some(VERSION) && place.path.exists() {
        match place.attempt(fields, files, Make::Nothing) {
            Ok((index, reader)) => return Ok(Opening { index, reader, fresh: false, lock }),
            Err(Trouble::World(cause)) => return Err(place.failed(cause)),
            Err(Trouble::Damage(why)) => place.move_aside(&why)?,
        }
    } else if version.is_some() && place.path.exists() {
        tracing::info!(found = version, ours = VERSION, "a search index of another version is built anew");
        fs::remove_dir_all(&place.path).map_err(|cause| place.failed(cause))?;
    }
    // The line that says which version it has comes when an older index is gone and before the new one:
    // stopped anywhere between, the next start begins here again.
    place.write_version()?;
    fs::create_dir_all(&place.path).map_err(|cause| place.failed(cause))?;
    match place.attempt(fields, files, Make::New) {
        Ok((index, reader)) => Ok(Opening { index, reader, fresh: true, lock }),
        Err(Trouble::World(cause)) => Err(place.failed(cause)),
        Err(Trouble::Damage(why)) => Err(SearchError::Failed(why)),
    }
}

struct Place<'a> {
    folder: &'a Path,
    path: PathBuf,
}

enum Make {
    New,
    Nothing,
}

enum Trouble {
    /// No rights, no room: nothing is wrong with the index.
    World(io::Error),
    Damage(String),
}

impl Place<'_> {
    /// The version in `format`; `None` for a folder that is empty or not there. Touches nothing.
    fn version(&self) -> Result<Option<u32>, SearchError> {
        let format = match fs::read(self.folder.join(FORMAT)) {
            Ok(format) => String::from_utf8_lossy(&format).into_owned(),
            Err(cause) if cause.kind() == io::ErrorKind::NotFound => {
                return if self.is_bare()? {
                    Ok(None)
                } else {
                    Err(SearchError::NotAnIndex(self.folder.into()))
                };
            }
            Err(cause) => return Err(self.failed(cause)),
        };
        match format.strip_prefix("yizhan-search ") {
            // A line that was cut short is of no version of ours, so the index is made anew.
            Some(version) => Ok(Some(version.trim().parse().unwrap_or(0))),
            None if format.is_empty() => Ok(Some(0)),
            None => Err(SearchError::NotAnIndex(self.folder.into())),
        }
    }

    /// Whether there is nothing but what a start that was stopped early leaves.
    fn is_bare(&self) -> Result<bool, SearchError> {
        let ours = |entry: fs::DirEntry| entry.file_name() == LOCK || entry.file_name() == FORMAT_NEW;
        match fs::read_dir(self.folder) {
            Ok(mut entries) => Ok(entries.all(|entry| entry.is_ok_and(ours))),
            Err(cause) if cause.kind() == io::ErrorKind::NotFound => Ok(true),
            Err(cause) => Err(self.failed(cause)),
        }
    }

    fn lock(&self) -> Result<File, SearchError> {
        fs::create_dir_all(self.folder).map_err(|cause| self.failed(cause))?;
        let path = self.folder.join(LOCK);
        let lock = File::options().write(true).create(true).truncate(false).open(path);
        let lock = lock.map_err(|cause| self.failed(cause))?;
        match lock.try_lock() {
            Ok(()) => Ok(lock),
            Err(TryLockError::WouldBlock) => Err(SearchError::InUse(self.folder.into())),
            Err(TryLockError::Error(cause)) => Err(self.failed(cause)),
        }
    }

    fn write_version(&self) -> Result<(), SearchError> {
        let new = self.folder.join(FORMAT_NEW);
        let line = format!("yizhan-search {VERSION}\n");
        fs::write(&new, line)
            .and_then(|()| fs::rename(&new, self.folder.join(FORMAT)))
            .map_err(|cause| self.failed(cause))
    }

    /// A damaged index is kept for whoever wants to know why, one of them: it is as large as an index.
    fn move_aside(&self, why: &str) -> Result<(), SearchError> {
        let aside = self.folder.join(DAMAGED);
        match fs::remove_dir_all(&aside) {
            Err(cause) if cause.kind() != io::ErrorKind::NotFound => return Err(self.failed(cause)),
            _ => fs::rename(&self.path, &aside).map_err(|cause| self.failed(cause))?,
        }
        tracing::error!(why, aside = %aside.display(), "a damaged search index was moved aside and is built anew");
        Ok(())
    }

    fn attempt(&self, fields: &Fields, files: &Files, make: Make) -> Result<(Index, IndexReader), Trouble> {
        // Where bytes on disk are not what it wrote, tantivy may panic instead of giving an error.
        let opened = catch_unwind(AssertUnwindSafe(|| {
            let files = files(MmapDirectory::open(&self.path)?);
            let index = match make {
                Make::New => {
                    let settings = IndexSettings {
                        docstore_compress_dedicated_thread: false,
                        ..IndexSettings::default()
                    };
                    Index::create(files, fields.schema.clone(), settings)?
                }
                Make::Nothing => Index::open(files)?,
            };
            let reader = index.reader_builder().reload_policy(ReloadPolicy::Manual).try_into()?;
            Ok((index, reader))
        }));
        let (mut index, reader) = match opened {
            Ok(Ok(opened)) => opened,
            Ok(Err(error)) => {
                let error: tantivy::TantivyError = error;
                return Err(outage(&error).map_or_else(|| Trouble::Damage(error.to_string()), Trouble::World));
            }
            Err(_) => return Err(Trouble::Damage("tantivy gave up while opening it".into())),
        };
        if index.schema() != fields.schema {
            return Err(Trouble::Damage("its fields are not those of its version".into()));
        }
        index.set_tokenizers(Fields::tokenizers());
        Ok((index, reader))
    }

    fn failed(&self, cause: io::Error) -> SearchError {
        SearchError::Folder { folder: self.folder.into(), cause }
    }
}
