//! What is done to a data folder while no server runs.

use std::{
    path::{Path, PathBuf},
    sync::Arc,
};

use anyhow::{Context, bail};
use yizhan_disk::BackupReport;
use yizhan_net::SystemClock;
use yizhan_talk::Clock;

use crate::{compose::open_others, config::units::show_size, load::group_digits, progress::Bar};

/// Make a data folder from a backup.
#[derive(Debug, clap::Args)]
pub(crate) struct Restore {
    /// The backup.
    from: PathBuf,
    /// The data folder to make; one that holds something is never overwritten.
    #[arg(long, env = "YIZHAN_DATA", value_name = "DIR", default_value = "yizhan-data")]
    data: PathBuf,
}

/// What `yizhan store` does.
#[derive(Debug, clap::Subcommand)]
pub(crate) enum StoreAction {
    /// Read everything in a data folder and verify each checksum. It changes nothing.
    Check {
        /// The data folder.
        #[arg(long, env = "YIZHAN_DATA", value_name = "DIR", default_value = "yizhan-data")]
        data: PathBuf,
    },
    /// Make damaged journals readable again, without what is damaged. The damaged files are set aside.
    Repair {
        /// The data folder.
        #[arg(long, env = "YIZHAN_DATA", value_name = "DIR", default_value = "yizhan-data")]
        data: PathBuf,
        /// What is damaged is lost: restoring a backup is the other way.
        #[arg(long, required = true)]
        accept_loss: bool,
    },
    /// Read a whole backup and compare it with what was written.
    Verify {
        /// The backup.
        backup: PathBuf,
    },
}

/// `yizhan restore`.
///
/// # Errors
/// The backup is damaged, or the folder is not empty.
pub(crate) fn restore(args: &Restore) -> anyhow::Result<()> {
    let mut bar = Bar::new("restoring");
    let now = SystemClock.now().wall;
    let done = yizhan_disk::restore(&args.from, &args.data, now, &mut |done, all| bar.at(done, all));
    bar.finish();
    let done = done.with_context(|| format!("cannot restore {}", args.from.display()))?;
    println!("restored to {}: {}", args.data.display(), tell(&done));
    Ok(())
}

/// `yizhan store`.
///
/// # Errors
/// Something is damaged, or the folder cannot be read.
pub(crate) fn store(action: &StoreAction) -> anyhow::Result<()> {
    match action {
        StoreAction::Check { data } => check(data),
        StoreAction::Repair { data, accept_loss: _ } => repair(data),
        StoreAction::Verify { backup } => {
            let mut bar = Bar::new("verifying");
            let done = yizhan_disk::verify(backup, &mut |done, all| bar.at(done, all));
            bar.finish();
            println!("the backup is as it was written: {}", tell(&done?));
            Ok(())
        }
    }
}

fn check(data: &Path) -> anyhow::Result<()> {
    if !data.is_dir() {
        bail!("there is no data folder at {}", data.display());
    }
    let mut bar = Bar::new("checking");
    let report = yizhan_disk::check(data, &mut |done, all| bar.at(done, all));
    bar.finish();
    let report = report?;
    for space in &report.spaces {
        println!(
            "space {}: {} records of {} topics, {}",
            space.name,
            group_digits(space.records as f64),
            group_digits(space.topics as f64),
            show_size(space.bytes)
        );
    }
    println!("tables: {} rows", group_digits(report.rows as f64));
    for note in &report.notes {
        println!("note: {note}");
    }
    for problem in &report.problems {
        println!("damaged: {problem}");
    }
    if !report.is_sound() {
        bail!("{} problems: restore a backup, or accept the loss", report.problem_count);
    }
    println!("everything is sound");
    Ok(())
}

fn repair(data: &Path) -> anyhow::Result<()> {
    if !data.is_dir() {
        bail!("there is no data folder at {}", data.display());
    }
    let mut bar = Bar::new("repairing");
    let report = yizhan_disk::repair(data, SystemClock.now().wall, &mut |done, all| bar.at(done, all));
    bar.finish();
    let report = report?;
    for place in &report.lost {
        println!("lost: {place}");
    }
    for folder in &report.set_aside {
        println!("set aside: {}", folder.display());
    }
    match report.lost.len() {
        0 => println!("nothing was damaged, and nothing was changed"),
        _ => println!("{} records were saved", group_digits(report.saved as f64)),
    }
    Ok(())
}

/// Backs up a folder that no server uses.
///
/// # Errors
/// A server uses it, or the backup cannot be written.
pub(crate) async fn back_up(data: &Path, to: &Path, bar: &mut Bar) -> anyhow::Result<BackupReport> {
    let clock: Arc<dyn Clock> = Arc::new(SystemClock);
    let disk = yizhan_disk::Disk::open(data, &yizhan_disk::Config::default(), clock)?;
    open_others(&disk, &[]).await?;
    let done = disk.backup(to, &mut |done, all| bar.at(done, all));
    disk.close()?;
    Ok(done?)
}

/// A backup in words.
pub(crate) fn tell(done: &BackupReport) -> String {
    format!("{} files, {}", group_digits(done.files as f64), show_size(done.bytes))
}
