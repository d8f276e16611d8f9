//! Reading a whole store and telling what is not as it should be.

use std::{
    path::{Path, PathBuf},
    sync::Arc,
};

use rustc_hash::FxHashMap;
use yizhan_hub::store::StoreError;

use crate::{
    backup::Progress,
    chain::Chain,
    checkpoint,
    codec::{Frame, LanePlace},
    disk::{self, OpenError},
    erase::AsErased,
    files::{Files, SystemFiles},
    registry::{self, Registered},
    segment::{self, HEADER_BYTES, Holds, Segment},
    shelf,
    survey::{Found, survey},
    tables::{SHELF, Tables},
};

/// Problems that are listed one by one; more are only counted.
const PROBLEMS_MAX: usize = 1000;

/// What a check found.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct CheckReport {
    /// Spaces by name.
    pub spaces: Vec<SpaceCheck>,
    /// Rows in all tables.
    pub rows: u64,
    /// What is wrong, with file and offset; at most a thousand are listed.
    pub problems: Vec<String>,
    /// How many problems there are.
    pub problem_count: u64,
    /// What is no problem but worth knowing: a write that a crash cut off, a checkpoint that is not used.
    pub notes: Vec<String>,
}

/// What a check found in one space.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct SpaceCheck {
    /// Its name.
    pub name: String,
    /// Topics that have records.
    pub topics: u64,
    /// Records that are as they were written.
    pub records: u64,
    /// Bytes of segments.
    pub bytes: u64,
    /// Keyed records that outlived their segment.
    pub shelved: u64,
}

impl CheckReport {
    /// Whether everything acknowledged is there.
    #[must_use]
    pub fn is_sound(&self) -> bool {
        self.problem_count == 0
    }

    fn problem(&mut self, what: String) {
        self.problem_count += 1;
        if self.problems.len() < PROBLEMS_MAX {
            self.problems.push(what);
        }
    }
}

/// Reads everything in a folder that no server uses: checksums, chains, numbers, tables. It changes
/// nothing in the journals. Blocks.
///
/// # Errors
/// [`OpenError::Locked`] where a server runs; others where the folder cannot be read at all.
pub fn check(folder: &Path, progress: Progress<'_>) -> Result<CheckReport, OpenError> {
    let _lock = disk::lock(folder)?;
    disk::check_format(folder, disk::Unfinished::Refused)?;
    let tables = Tables::open(&folder.join("tables"), 32 << 20, 0, 0)?;
    let mut checking = Checking { report: CheckReport::default(), done: 0, total: 0, progress };
    let result = checking.all(folder, &tables);
    tables.close();
    result?;
    Ok(checking.report)
}

struct Checking<'a> {
    report: CheckReport,
    done: u64,
    total: u64,
    progress: Progress<'a>,
}

/// One lane's segments in order.
pub(crate) struct LaneFiles {
    pub(crate) place: LanePlace,
    pub(crate) folder: PathBuf,
    pub(crate) bases: Vec<u64>,
}

impl LaneFiles {
    /// The lanes of a space, as its journal's folder has them.
    pub(crate) fn of(folder: &Path, space: &str, registered: &Registered) -> Result<Vec<Self>, OpenError> {
        let at = folder.join("journal").join(registered.folder_name(space));
        let lane = |lane: u16| {
            let folder = at.join(lane.to_string());
            let names = SystemFiles.list(&folder).map_err(OpenError::io(&folder))?;
            let mut bases: Vec<u64> = names.iter().filter_map(|name| segment::base_of(name)).collect();
            bases.sort_unstable();
            let place = LanePlace { space: registered.id, lane, epoch: registered.epoch };
            Ok(Self { place, folder, bases })
        };
        (0..registered.lanes).map(lane).collect()
    }

    /// The segments, each with where the next one begins.
    pub(crate) fn segments(&self) -> impl Iterator<Item = (Segment, Option<u64>)> + '_ {
        self.bases.iter().enumerate().map(|(i, base)| {
            let segment = Segment::new(&self.folder, *base, None, Holds::nothing(*base));
            (segment, self.bases.get(i + 1).copied())
        })
    }

    /// Bytes of all segment files.
    pub(crate) fn bytes(&self) -> Result<u64, OpenError> {
        let len = |(segment, _): (Segment, _)| {
            Ok(std::fs::metadata(&segment.path).map_err(OpenError::io(&segment.path))?.len())
        };
        self.segments().map(len).sum()
    }
}

impl Checking<'_> {
    fn all(&mut self, folder: &Path, tables: &Arc<Tables>) -> Result<(), OpenError> {
        let mut spaces = vec![];
        for (name, registered) in registry::all(tables)? {
            let lanes = LaneFiles::of(folder, &name, &registered)?;
            for lane in &lanes {
                self.total += lane.bytes()?;
            }
            spaces.push((name, lanes));
        }
        for (name, lanes) in spaces {
            let mut space = SpaceCheck { name, ..SpaceCheck::default() };
            for lane in lanes {
                self.checkpoints(&lane)?;
                self.lane(&lane, tables, &mut space)?;
                self.shelf(&lane, tables, &mut space)?;
            }
            self.report.spaces.push(space);
        }
        let snapshot = tables.snapshot()?;
        let mut rows = 0;
        let read = tables.each_row(&snapshot, |_, _, _| {
            rows += 1;
            Ok(())
        });
        self.report.rows = rows;
        if let Err(error) = read {
            self.report.problem(format!("tables: {error}"));
        }
        Ok(())
    }

    fn checkpoints(&mut self, lane: &LaneFiles) -> Result<(), OpenError> {
        let names = SystemFiles.list(&lane.folder).map_err(OpenError::io(&lane.folder))?;
        for end in names.iter().filter_map(|name| checkpoint::end_of(name)) {
            let path = lane.folder.join(checkpoint::file_name(end));
            if let Err(why) = checkpoint::load(&SystemFiles, &path, lane.place.lane) {
                self.report.notes.push(format!("{} is not used: {why}", path.display()));
            }
        }
        Ok(())
    }

    fn lane(&mut self, lane: &LaneFiles, tables: &Tables, space: &mut SpaceCheck) -> Result<(), OpenError> {
        let begin = lane.bases.first().copied().unwrap_or(0);
        let mut chains: FxHashMap<String, Chain> = FxHashMap::default();
        for (segment, next) in lane.segments() {
            let read = self.segment(lane, tables, (&segment, next), begin, &mut chains, space);
            read.map_err(OpenError::io(&segment.path))?;
        }
        space.topics += chains.len() as u64;
        Ok(())
    }

    fn segment(
        &mut self,
        lane: &LaneFiles,
        tables: &Tables,
        (segment, next): (&Segment, Option<u64>),
        begin: u64,
        chains: &mut FxHashMap<String, Chain>,
        space: &mut SpaceCheck,
    ) -> std::io::Result<()> {
        // What a crash has interrupted the next start finishes: that is no damage.
        let file = AsErased::open(&SystemFiles, tables, &lane.place, segment, next)?;
        let mut header = [0; HEADER_BYTES as usize];
        let read = file.read_at(&mut header, 0)?;
        if !segment::is_header(&header[..read], &lane.place, segment.base) {
            self.report.problem(format!("{} at byte 0: the header is damaged", segment.path.display()));
        }
        survey(segment, &file, next, |found| {
            match found {
                Found::Frame(frame, _) => {
                    self.frame(segment, &frame, begin, chains);
                    space.records += 1;
                    space.bytes += frame.preamble.frame_len as u64;
                    if space.records.is_multiple_of(4096) {
                        (self.progress)(self.done + segment.at(frame.links.place), self.total);
                    }
                }
                Found::Damage(at, why) => self.report.problem(format!("{}: {why}", segment.describe(at))),
                Found::Torn(at, bytes) => {
                    let note = format!("{}: {bytes} bytes that a crash cut off", segment.describe(at));
                    self.report.notes.push(note);
                }
            }
            Ok(())
        })?;
        self.done += file.len()?;
        (self.progress)(self.done, self.total);
        segment.close();
        Ok(())
    }

    /// Compares a record with what its topic's records before it lead to.
    fn frame(
        &mut self,
        segment: &Segment,
        frame: &Frame<'_>,
        begin: u64,
        chains: &mut FxHashMap<String, Chain>,
    ) {
        let links = &frame.links;
        let is_new = !chains.contains_key(frame.topic);
        let chain = chains.entry(frame.topic.to_owned()).or_default();
        let expected = chain.next(links.place, links.at);
        let place = || segment.describe(links.place - 1);
        if is_new {
            // Its older records may have been deleted.
            if links.seq != 1 && links.prev > begin {
                self.report.problem(format!(
                    "{}: the record before number {} is missing",
                    place(),
                    links.seq
                ));
            } else if links.seq != 1 && begin == 0 {
                self.report.problem(format!("{}: a topic begins with number {}", place(), links.seq));
            }
        } else if (links.seq, links.prev) != (expected.seq, expected.prev) {
            let (seq, last) = (links.seq, chain.seq);
            self.report.problem(format!("{}: number {seq} follows number {last}", place()));
        } else if expected.skip > begin && links.skip != expected.skip {
            self.report.problem(format!("{}: a link leads to the wrong place", place()));
        }
        chain.push(links);
    }

    fn shelf(&mut self, lane: &LaneFiles, tables: &Tables, space: &mut SpaceCheck) -> Result<(), StoreError> {
        let report = &mut self.report;
        tables.scan_rows(SHELF, &shelf::keyed_prefix(&lane.place), |row, frame| {
            let offset =
                frame.get(16..24).and_then(|b| b.first_chunk()).map_or(0, |b| u64::from_le_bytes(*b));
            if let Err(bad) = Frame::whole(frame, offset) {
                let name = shelf::topic_and_key(row).map(|(topic, key)| format!("{topic}, key {key:?}"));
                report.problem(format!("the kept state of {}: {bad}", name.unwrap_or_default()));
            }
            space.shelved += 1;
        })
    }
}
