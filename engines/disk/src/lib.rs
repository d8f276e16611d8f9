//! A durable store in one folder: journals as segmented logs, tables in fjall.
//!
//! Acknowledged means synced: a lane's writer takes what waits, writes it in one piece, syncs once, and
//! then answers. Every record has checksums that are verified whenever it is read. There is no index of
//! records: each one knows the one before it in its topic and one further back, so that history costs a
//! few small reads, and memory grows with topics, not with records.
//!
//! Read in this order: `codec` (a record as bytes), `segment` and `log` (files), `chain`
//! (a topic's records), `index` (what is in memory), `lane`, `queue` and `writer` (what goes in), `read`
//! and `history` (what comes out), `recover` and `checkpoint` (starting), `keep` and `shelf` (retention),
//! `erase`, `journal`, `tables`, `disk` (the store), `backup`,
//! `check` and `repair` (tools).

mod backup;
mod chain;
mod check;
mod checkpoint;
mod codec;
mod config;
mod dedup;
mod disk;
mod erase;
mod files;
mod history;
mod index;
mod journal;
mod keep;
mod lane;
mod log;
mod meters;
mod queue;
mod read;
mod recent;
mod recover;
mod registry;
mod repair;
mod segment;
mod shelf;
mod survey;
mod tables;
mod writer;

pub use backup::{BackupError, BackupReport, Progress, restore, verify};
pub use check::{CheckReport, SpaceCheck, check};
pub use codec::fuzz_record;
pub use config::Config;
pub use disk::{Disk, OpenError, Recovery};
pub use meters::Meters;
pub use recover::LaneRecovery;
pub use repair::{RepairReport, repair};

#[cfg(test)]
mod tests {
    mod backup;
    mod crash;
    mod erase;
    mod lane;
    mod sim_files;
    mod store;
    mod support;
    mod tables;
    mod together;
}
