//! `yizhan index`: the full-text index of messages.

use std::time::Duration;

use anyhow::bail;
use http::Method;
use serde_json::json;

use crate::{client::Reach, progress::Bar};

/// How often a running server is asked how far it is.
const ASK_EVERY: Duration = Duration::from_millis(200);

/// The full-text index of messages of a running server.
#[derive(Debug, clap::Args)]
pub(crate) struct Index {
    #[command(subcommand)]
    action: Action,
    #[command(flatten)]
    reach: Reach,
}

#[derive(Debug, clap::Subcommand)]
enum Action {
    /// Build the index anew from the messages that are kept. The server goes on meanwhile; until it is done, less is
    /// found.
    Rebuild,
}

/// Runs `yizhan index`.
///
/// # Errors
/// The server cannot be reached or refuses, or the index cannot be written.
pub(crate) async fn run(args: Index) -> anyhow::Result<()> {
    let Action::Rebuild = args.action;
    let client = args.reach.client()?;
    client.json(Method::POST, "/im/v1/admin/index_rebuild", Some(&json!({}))).await?;
    let mut bar = Bar::new("indexing");
    loop {
        let state = client.json(Method::POST, "/im/v1/admin/index", Some(&json!({}))).await?;
        let number = |name: &str| state[name].as_u64().unwrap_or(0);
        if state["running"] == true {
            bar.at(number("done"), number("all").max(1));
            tokio::time::sleep(ASK_EVERY).await;
            continue;
        }
        bar.finish();
        if let Some(error) = state["error"].as_str() {
            bail!("the index could not be built: {error}");
        }
        println!("the index is built anew");
        return Ok(());
    }
}
