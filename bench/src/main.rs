//! `./x bench`: our server beside its peers, in turn, in one run, with one generator that favours none.
//!
//! What is compared is server CPU per unit of work (user and system, from `/proc`), because it is steadier
//! than wall time and is what an operator pays. Every delivery is counted and checked; a run with a loss is
//! void. See `docs/explanation/numbers.md`.

mod bare;
mod durable;
mod fanout;
mod history;
mod idle;
mod im;
mod live;
mod mqtt;
mod process;
mod socket;

use anyhow::{Result, bail};

/// The marker that begins every body; eight hexadecimal digits follow, the message's number.
pub(crate) const MARK: &[u8] = b"@~";

fn main() -> Result<()> {
    let mut arguments = std::env::args().skip(1);
    let what = arguments.next().unwrap_or_else(|| "all".into());
    let arguments: Vec<String> = arguments.collect();
    let quick = arguments.iter().any(|a| a == "--quick");
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        match what.as_str() {
            "bare" => bare::serve().await,
            "fanout" => fanout::run(quick).await,
            "slow" => fanout::run_slow(quick).await,
            "durable" => durable::run(quick).await,
            "history" => history::run(quick).await,
            "idle" => idle::run(quick).await,
            "mqtt" => mqtt::run(&arguments),
            "im" => im::run(quick).await,
            "live" => live::run(&arguments),
            "all" => {
                fanout::run(quick).await?;
                fanout::run_slow(quick).await?;
                durable::run(quick).await?;
                history::run(quick).await?;
                idle::run(quick).await?;
                mqtt::run(&arguments)?;
                im::run(quick).await?;
                live::run(&arguments)
            }
            other => {
                bail!("no benchmark '{other}': fanout, slow, durable, history, idle, mqtt, im, live or all")
            }
        }
    })
}
