//! The command line: what the program can be asked to do.

use std::{path::PathBuf, process::ExitCode};

use anyhow::{Context, bail};
use clap::{Args, Parser, Subcommand};

use crate::{
    config::{self, Layers},
    control, offline, serve,
    tools::{accounts, ask, bench, import, publish, subscribe, top},
};

/// Real-time messages for everything that is connected.
#[derive(Debug, Parser)]
#[command(name = "yizhan", version, about, propagate_version = true)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Run the server.
    Serve(Settings),
    /// Write a config file with comments. An existing file is never overwritten.
    Init {
        /// Where to.
        #[arg(default_value = "yizhan.toml")]
        file: PathBuf,
    },
    /// Look at the configuration.
    Config {
        #[command(subcommand)]
        action: ConfigAction,
    },
    /// Publish a message.
    Pub(publish::Publish),
    /// Follow topics: print what is published.
    Sub(subscribe::Subscribe),
    /// Ask a running server: sessions, connections, topics, subscriptions, spaces, accounts, …
    Ask(ask::Ask),
    /// Watch a running server: rates, latency by its parts, connections, topics.
    Top(top::Top),
    /// Accounts of a running server.
    Account(accounts::Account),
    /// Tokens of a running server.
    Token(accounts::Token),
    /// Take over users and rules from another server.
    Import {
        #[command(subcommand)]
        from: import::Import,
    },
    /// Back up a data folder while its server runs (or while none does).
    Backup(control::Backup),
    /// Make a data folder from a backup. A folder that holds data is never overwritten.
    Restore(offline::Restore),
    /// Look after a data folder while no server runs.
    Store {
        #[command(subcommand)]
        action: offline::StoreAction,
    },
    /// Put load on a server and measure what it costs.
    Bench(bench::Bench),
    /// The full-text index of messages.
    #[cfg(feature = "chat")]
    Index(crate::tools::index::Index),
    /// Live streaming: tokens to watch and to publish.
    #[cfg(feature = "live")]
    Live(crate::tools::live::Live),
    /// About instant messaging.
    #[cfg(feature = "chat")]
    Im {
        #[command(subcommand)]
        action: ImAction,
    },
}

#[cfg(feature = "chat")]
#[derive(Debug, Subcommand)]
enum ImAction {
    /// Print the reference of all operations, as Markdown.
    Reference,
}

#[derive(Debug, Subcommand)]
enum ConfigAction {
    /// Print what is in force; secrets are hidden.
    Show(Settings),
    /// Say what is wrong, without starting.
    Check(Settings),
    /// Print the reference of all keys, as Markdown.
    Reference,
}

/// Where the configuration comes from.
#[derive(Debug, Clone, Args)]
pub(crate) struct Settings {
    /// A config file (TOML); `yizhan init` writes one to begin with.
    #[arg(long, value_name = "FILE", env = "YIZHAN_CONFIG")]
    config: Option<PathBuf>,
    /// The folder for data; made where it is not there. `./yizhan-data` where nobody says otherwise.
    #[arg(long, value_name = "DIR", env = "YIZHAN_DATA")]
    data: Option<PathBuf>,
    /// For trying things out: anonymous clients may do everything outside `$` topics, on loopback, on all
    /// default ports.
    #[arg(long)]
    dev: bool,
    /// Set one key, over file and environment: `--set http.listen=127.0.0.1:9000`. May be given several times.
    #[arg(long, value_name = "KEY=VALUE")]
    set: Vec<String>,
}

impl Settings {
    pub(crate) fn layers(&self) -> Layers {
        Layers {
            dev: self.dev,
            file: self.config.clone(),
            data: self.data.clone(),
            env: config::environment(),
            set: self.set.clone(),
        }
    }
}

/// Parses the command line and does what it says.
pub(crate) fn main() -> ExitCode {
    let command = Cli::parse().command;
    match run(command) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) if is_closed_pipe(&error) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("yizhan: {error:#}");
            ExitCode::FAILURE
        }
    }
}

/// Whether the reader of our output went away (`yizhan sub '#' | head`): that is no failure.
fn is_closed_pipe(error: &anyhow::Error) -> bool {
    error.chain().any(|cause| {
        cause.downcast_ref::<std::io::Error>().is_some_and(|e| e.kind() == std::io::ErrorKind::BrokenPipe)
    })
}

fn run(command: Command) -> anyhow::Result<()> {
    match command {
        Command::Serve(settings) => serve::run(settings.layers()),
        Command::Init { file } => init(&file),
        Command::Config { action: ConfigAction::Reference } => {
            print!("{}", config::reference());
            Ok(())
        }
        Command::Config { action: ConfigAction::Show(settings) } => {
            print!("{}", config::show(&load(&settings.layers())?));
            Ok(())
        }
        Command::Config { action: ConfigAction::Check(settings) } => {
            load(&settings.layers())?;
            println!("the config is good");
            Ok(())
        }
        Command::Pub(args) => block_on(publish::run(args)),
        Command::Sub(args) => block_on(subscribe::run(args)),
        Command::Ask(args) => block_on(ask::run(args)),
        Command::Top(args) => block_on(top::run(args)),
        Command::Account(args) => block_on(accounts::account(args)),
        Command::Token(args) => block_on(accounts::token(args)),
        Command::Import { from } => block_on(import::run(from)),
        Command::Backup(args) => block_on(control::backup(args)),
        Command::Restore(args) => offline::restore(&args),
        Command::Store { action } => offline::store(&action),
        Command::Bench(args) => bench::run(&args),
        #[cfg(feature = "chat")]
        Command::Index(args) => block_on(crate::tools::index::run(args)),
        #[cfg(feature = "live")]
        Command::Live(args) => block_on(crate::tools::live::run(args)),
        #[cfg(feature = "chat")]
        Command::Im { action: ImAction::Reference } => {
            print!("{}", crate::tools::im_reference::reference());
            Ok(())
        }
    }
}

/// The config in force, or all that is wrong with it.
pub(crate) fn load(layers: &Layers) -> anyhow::Result<config::Config> {
    layers.load().map_err(|problems| anyhow::anyhow!("the config is not good:\n  {}", problems.join("\n  ")))
}

fn init(file: &PathBuf) -> anyhow::Result<()> {
    use std::io::Write;
    let mut options = std::fs::OpenOptions::new();
    let mut open = match options.write(true).create_new(true).open(file) {
        Ok(open) => open,
        Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => {
            bail!("{} is there already: it stays as it is", file.display());
        }
        Err(error) => return Err(error).with_context(|| format!("cannot write {}", file.display())),
    };
    open.write_all(config::init_file().as_bytes())
        .with_context(|| format!("cannot write {}", file.display()))?;
    println!("wrote {0}\nstart with: yizhan serve --config {0}", file.display());
    Ok(())
}

fn block_on(work: impl Future<Output = anyhow::Result<()>>) -> anyhow::Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    runtime.context("cannot start the runtime")?.block_on(work)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_line_is_sound() {
        use clap::CommandFactory;
        Cli::command().debug_assert();
    }

    #[test]
    fn init_never_overwrites() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("y.toml");
        init(&file).unwrap();
        std::fs::write(&file, "mine").unwrap();
        assert!(init(&file).unwrap_err().to_string().contains("is there already"));
        assert_eq!(std::fs::read_to_string(&file).unwrap(), "mine");
    }
}
