//! A disk that fails for a while: nothing is lost, and everyone can see it.

use std::{
    io::{self, Write},
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering::SeqCst},
    },
    time::{Duration, Instant},
};

use tantivy::{
    Directory,
    directory::{
        DirectoryLock, FileHandle, Lock, MmapDirectory, TerminatingWrite, WatchCallback, WatchHandle,
        WritePtr,
        error::{DeleteError, LockError, OpenReadError, OpenWriteError},
    },
};

use crate::{Change, Config, Document, Index, Query, SearchError};

/// A folder on a disk that may be full.
#[derive(Clone, Debug)]
struct Disk {
    files: MmapDirectory,
    is_full: Arc<AtomicBool>,
}

impl Disk {
    fn check(&self) -> io::Result<()> {
        if self.is_full.load(SeqCst) { Err(io::ErrorKind::StorageFull.into()) } else { Ok(()) }
    }
}

struct Page {
    disk: Disk,
    file: WritePtr,
}

impl Write for Page {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.disk.check()?;
        self.file.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.disk.check()?;
        self.file.flush()
    }
}

impl TerminatingWrite for Page {
    fn terminate_ref(&mut self, token: tantivy::directory::AntiCallToken) -> io::Result<()> {
        self.disk.check()?;
        self.file.terminate_ref(token)
    }
}

impl Directory for Disk {
    fn get_file_handle(&self, path: &Path) -> Result<Arc<dyn FileHandle>, OpenReadError> {
        self.files.get_file_handle(path)
    }

    fn delete(&self, path: &Path) -> Result<(), DeleteError> {
        self.files.delete(path)
    }

    fn exists(&self, path: &Path) -> Result<bool, OpenReadError> {
        self.files.exists(path)
    }

    fn open_write(&self, path: &Path) -> Result<WritePtr, OpenWriteError> {
        self.check().map_err(|cause| OpenWriteError::wrap_io_error(cause, path.into()))?;
        let file = self.files.open_write(path)?;
        Ok(WritePtr::new(Box::new(Page { disk: self.clone(), file })))
    }

    fn atomic_read(&self, path: &Path) -> Result<Vec<u8>, OpenReadError> {
        self.files.atomic_read(path)
    }

    fn atomic_write(&self, path: &Path, bytes: &[u8]) -> io::Result<()> {
        self.check()?;
        self.files.atomic_write(path, bytes)
    }

    fn sync_directory(&self) -> io::Result<()> {
        self.files.sync_directory()
    }

    fn acquire_lock(&self, lock: &Lock) -> Result<DirectoryLock, LockError> {
        self.files.acquire_lock(lock)
    }

    fn watch(&self, callback: WatchCallback) -> tantivy::Result<WatchHandle> {
        self.files.watch(callback)
    }
}

fn put(seq: u64) -> Change {
    Change::Put(Document {
        conversation: "c".into(),
        seq,
        sender: "ann".into(),
        at_ms: seq,
        kind: "text".into(),
        text: format!("number{seq} 消息"),
    })
}

fn open(folder: &Path) -> (Index, Arc<AtomicBool>) {
    let is_full = Arc::new(AtomicBool::new(false));
    let disk = is_full.clone();
    let config = Config { commit_interval: Duration::from_millis(1), ..Config::default() };
    let files = move |files| -> Box<dyn Directory> { Box::new(Disk { files, is_full: disk.clone() }) };
    (Index::open_with(folder, config, &files).unwrap().0, is_full)
}

fn until(index: &Index, fits: impl Fn(&Index) -> bool) {
    let began = Instant::now();
    while !fits(index) {
        assert!(began.elapsed() < Duration::from_secs(60), "{:?}", index.figures());
        std::thread::sleep(Duration::from_millis(2));
    }
}

#[test]
fn a_full_disk_is_shown_and_when_there_is_room_again_nothing_is_missing() {
    let folder = tempfile::tempdir().unwrap();
    let (index, is_full) = open(folder.path());
    index.apply((1..=10).map(put).collect(), "10".into()).unwrap();
    until(&index, |index| index.figures().through.as_deref() == Some("10"));

    is_full.store(true, SeqCst);
    index.apply((8..=20).map(put).collect(), "20".into()).unwrap();
    until(&index, |index| index.figures().error.is_some());
    index.apply(vec![put(21), Change::Remove { conversation: "c".into(), seq: 1 }], "21".into()).unwrap();
    let figures = index.figures();
    assert_eq!(
        (figures.documents, figures.through.as_deref()),
        (10, Some("10")),
        "what was found is found still"
    );
    assert_eq!(figures.waiting, 15);

    is_full.store(false, SeqCst);
    until(&index, |index| index.figures().through.as_deref() == Some("21"));
    let figures = index.figures();
    assert_eq!((figures.documents, figures.waiting, figures.error), (20, 0, None));
    let query =
        Query { text: "消息".into(), conversations: vec![("c".into(), 0)], limit: 100, ..Query::default() };
    let seqs: Vec<u64> = index.search(&query).unwrap().hits.iter().map(|hit| hit.seq).collect();
    assert_eq!(seqs, (2..=21).rev().collect::<Vec<u64>>(), "each of them once");
}

#[test]
fn closing_does_not_wait_for_a_full_disk() {
    let folder = tempfile::tempdir().unwrap();
    let (index, is_full) = open(folder.path());
    index.apply(vec![put(1)], "1".into()).unwrap();
    until(&index, |index| index.figures().through.is_some());
    is_full.store(true, SeqCst);
    index.apply(vec![put(2)], "2".into()).unwrap();
    until(&index, |index| index.figures().error.is_some());
    let flushed = index.flush();
    index.close();
    let flushed = tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(flushed);
    assert!(matches!(flushed, Err(SearchError::Closed)));
    assert_eq!(index.figures().through.as_deref(), Some("1"), "so the caller goes on after 1");
}
