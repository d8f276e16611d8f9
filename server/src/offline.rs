//! What is done to a data folder while no server runs.

use std::path::{Path, PathBuf};

use serde_json::Value;

/// Make a data folder from a backup.
#[derive(Debug, clap::Args)]
pub(crate) struct Restore {
    /// The backup.
    from: PathBuf,
    /// The data folder to make.
    #[arg(long, env = "YIZHAN_DATA", value_name = "DIR", default_value = "yizhan-data")]
    data: PathBuf,
}

#[derive(Debug, clap::Subcommand)]
pub(crate) enum StoreAction {
    /// Read everything in a data folder and verify each checksum.
    Check {
        /// The data folder.
        #[arg(long, env = "YIZHAN_DATA", value_name = "DIR", default_value = "yizhan-data")]
        data: PathBuf,
    },
}
pub(crate) async fn restore(_args: Restore) -> anyhow::Result<()> {
    anyhow::bail!("not yet")
}
pub(crate) async fn store(_action: StoreAction) -> anyhow::Result<()> {
    anyhow::bail!("not yet")
}
pub(crate) async fn back_up(_data: &Path, _to: &Path) -> anyhow::Result<Value> {
    anyhow::bail!("not yet")
}
pub(crate) fn tell_backup(_done: &Value) -> String {
    String::new()
}
