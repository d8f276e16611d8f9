//! Accepting the loss: a damaged journal without its damaged records.
//!
//! What is still right is written into new segments, with the numbers it had. The lane begins a new epoch,
//! because places are others now: clients are told that something is missing. The damaged files stay
//! beside the new ones, for whoever can get more out of them.

use std::{
    fs, io,
    path::{Path, PathBuf},
    sync::Arc,
};

use bytes::Bytes;
use rustc_hash::FxHashMap;
use rustix::fs::{CWD, RenameFlags};
use yizhan_talk::Timestamp;

use crate::{
    backup::{self, Progress},
    chain::Chain,
    check::LaneFiles,
    codec::{self, Links},
    disk::{self, OpenError},
    erase,
    files::{Files, SystemFiles},
    registry,
    segment::{self, HEADER_BYTES},
    survey::{Found, survey},
    tables::Tables,
};

/// Bytes of frames in one new segment, about.
const SEGMENT_BYTES: usize = 64 << 20;

/// What a repair did.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct RepairReport {
    /// Damaged places, each the beginning of something that was lost.
    pub lost: Vec<String>,
    /// Records that were saved from damaged lanes.
    pub saved: u64,
    /// Where the damaged files are now; to be removed by hand.
    pub set_aside: Vec<PathBuf>,
}

/// Makes every damaged lane of a folder readable again, without what is damaged. Nothing is changed where
/// nothing is damaged. Blocks.
///
/// A topic whose newest records were lost gives their numbers again.
///
/// # Errors
/// [`OpenError::Locked`] where a server runs; others where the folder cannot be read or written. What was
/// there stays as it was until a lane's new files are complete.
pub fn repair(folder: &Path, now: Timestamp, progress: Progress<'_>) -> Result<RepairReport, OpenError> {
    let _lock = disk::lock(folder)?;
    disk::check_format(folder, disk::Unfinished::Refused)?;
    let tables = Tables::open(&folder.join("tables"), 32 << 20, 0, now.0)?;
    let repaired = repair_all(folder, &tables, now, progress);
    let safe = tables.sync();
    tables.close();
    let report = repaired?;
    safe?;
    Ok(report)
}

fn repair_all(
    folder: &Path,
    tables: &Arc<Tables>,
    now: Timestamp,
    progress: Progress<'_>,
) -> Result<RepairReport, OpenError> {
    let mut lanes = vec![];
    for (name, registered) in registry::all(tables)? {
        for lane in LaneFiles::of(folder, &name, &registered)? {
            lanes.push((name.clone(), registered, lane.bytes()?, lane));
        }
    }
    let total = lanes.iter().map(|(_, _, bytes, _)| bytes).sum();
    let (mut report, mut done) = (RepairReport::default(), 0);
    for (name, registered, bytes, lane) in lanes {
        // What a crash has interrupted is no damage.
        erase::finish(&SystemFiles, &**tables, &lane.place, &lane.folder, &lane.bases)?;
        let lost = damage(&lane)?;
        if !lost.is_empty() {
            report.lost.extend(lost);
            // Before the files: a place must never be taken for one of the other life.
            backup::new_epoch(tables, &name, &registered, now)?;
            tables.sync()?;
            report.saved += rewrite(&lane)?;
            report.set_aside.push(exchange(&lane.folder)?);
        }
        done += bytes;
        progress(done, total);
    }
    Ok(report)
}

/// Where a lane is damaged.
fn damage(lane: &LaneFiles) -> Result<Vec<String>, OpenError> {
    let mut lost = vec![];
    for (segment, next) in lane.segments() {
        let read = segment.file(&SystemFiles).and_then(|(file, _)| {
            let mut header = [0; HEADER_BYTES as usize];
            let read = file.read_at(&mut header, 0)?;
            if !segment::is_header(&header[..read], &lane.place, segment.base) {
                lost.push(format!("{} at byte 0: the header is damaged", segment.path.display()));
            }
            survey(&segment, &file, next, |found| {
                if let Found::Damage(at, why) = found {
                    lost.push(format!("{}: {why}", segment.describe(at)));
                }
                Ok(())
            })
        });
        read.map_err(OpenError::io(&segment.path))?;
    }
    Ok(lost)
}

/// The folder in which a lane is written anew.
fn aside(folder: &Path, what: &str) -> PathBuf {
    let name = folder.file_name().unwrap_or_default().to_string_lossy();
    folder.with_file_name(format!("{name}.{what}"))
}

/// New segments that are being filled.
struct Rewriting<'a> {
    lane: &'a LaneFiles,
    folder: PathBuf,
    base: u64,
    frames: Vec<u8>,
    chains: FxHashMap<String, Chain>,
    saved: u64,
}

/// Writes what is right into new segments. Gives how many records that are.
fn rewrite(lane: &LaneFiles) -> Result<u64, OpenError> {
    let folder = aside(&lane.folder, "repair");
    let fresh = match fs::remove_dir_all(&folder) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => SystemFiles.make_folder(&folder),
    };
    fresh.map_err(OpenError::io(&folder))?;
    // It begins where the old one does: what the shelf has lies before that.
    let base = lane.bases.first().copied().unwrap_or(0);
    let chains = FxHashMap::default();
    let mut rewriting = Rewriting { lane, folder: folder.clone(), base, frames: vec![], chains, saved: 0 };
    for (segment, next) in lane.segments() {
        let read = segment.file(&SystemFiles).and_then(|(file, _)| {
            survey(&segment, &file, next, |found| match found {
                Found::Frame(frame, body) => rewriting.take(&frame, body),
                Found::Damage(..) | Found::Torn(..) => Ok(()),
            })
        });
        read.map_err(OpenError::io(&segment.path))?;
    }
    rewriting.end_segment().map_err(OpenError::io(&folder))?;
    Ok(rewriting.saved)
}

impl Rewriting<'_> {
    fn take(&mut self, frame: &codec::Frame<'_>, body: &[u8]) -> io::Result<()> {
        let record =
            frame.record(&self.lane.place, Bytes::copy_from_slice(body)).map_err(io::Error::other)?;
        let chain = self.chains.entry(frame.topic.to_owned()).or_default();
        let offset = self.base + self.frames.len() as u64;
        // As if it were the next one, but with its own number; a link over lost ones leads nowhere.
        let next = chain.next(offset + 1, frame.links.at);
        let (seq, known) = (frame.links.seq, next.seq == frame.links.seq);
        let skip = if known { next.skip } else { 0 };
        let links = Links { seq, skip, ..next };
        chain.push(&links);
        codec::write(&mut self.frames, self.base, &links, &record.message);
        self.saved += 1;
        if self.frames.len() >= SEGMENT_BYTES { self.end_segment() } else { Ok(()) }
    }

    fn end_segment(&mut self) -> io::Result<()> {
        let path = self.folder.join(segment::file_name(self.base));
        let file = SystemFiles.create(&path, 0)?;
        file.write_at(&segment::header(&self.lane.place, self.base), 0)?;
        file.write_at(&self.frames, HEADER_BYTES)?;
        file.sync()?;
        SystemFiles.sync_folder(&self.folder)?;
        self.base += self.frames.len() as u64;
        self.frames.clear();
        Ok(())
    }
}

/// Puts the new files in the place of the old ones, at one moment. Gives where the old ones are.
fn exchange(folder: &Path) -> Result<PathBuf, OpenError> {
    let (new, old) = (aside(folder, "repair"), aside(folder, "damaged"));
    let exchange = || {
        rustix::fs::renameat_with(CWD, folder, CWD, &new, RenameFlags::EXCHANGE)?;
        let mut aside = old.clone();
        let mut more = 1;
        while aside.exists() {
            more += 1;
            aside = old.with_extension(format!("damaged{more}"));
        }
        fs::rename(&new, &aside)?;
        SystemFiles.sync_folder(folder.parent().unwrap_or_else(|| Path::new(".")))?;
        Ok(aside)
    };
    exchange().map_err(OpenError::io(folder))
}
