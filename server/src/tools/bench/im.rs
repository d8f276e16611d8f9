//! `yizhan bench im`: instant messaging under load.

use super::{Bench, common};
use crate::load::{Report, im};

/// Chats on a server that lets guests in (`yizhan serve --dev`).
#[derive(Debug, clap::Args)]
pub(super) struct Im {
    #[command(subcommand)]
    load: Load,
}

#[derive(Debug, clap::Subcommand)]
enum Load {
    /// Pairs: one writes, the other one reads; kept on disk, with receipts.
    Pairs {
        /// Pairs.
        #[arg(long, default_value_t = 200)]
        pairs: usize,
        /// Messages of one writer that wait for their acknowledgement.
        #[arg(long, default_value_t = 8)]
        window: usize,
        /// Bytes of a text.
        #[arg(long, default_value_t = 64)]
        size: usize,
    },
    /// One large group.
    Group {
        /// Members.
        #[arg(long, default_value_t = 10_000)]
        members: usize,
        /// Members who are here.
        #[arg(long, default_value_t = 1000)]
        online: usize,
        /// Messages a second; without it as fast as it goes.
        #[arg(long)]
        rate: Option<f64>,
        /// Messages that the writer may be ahead of its slowest listener.
        #[arg(long, default_value_t = 256)]
        window: u64,
        /// Bytes of a text.
        #[arg(long, default_value_t = 64)]
        size: usize,
    },
    /// People who come back, all at once.
    Login {
        /// People.
        #[arg(long, default_value_t = 2000)]
        users: usize,
        /// Conversations of each; groups of 200.
        #[arg(long, default_value_t = 500)]
        conversations: usize,
        /// Messages in each conversation.
        #[arg(long, default_value_t = 20)]
        messages: usize,
        /// Conversations that the first question brings.
        #[arg(long, default_value_t = 100)]
        page: usize,
        /// The groups are there from an earlier run.
        #[arg(long)]
        again: bool,
    },
    /// Full-text search.
    Search {
        /// Messages that are sent before.
        #[arg(long, default_value_t = 2000)]
        messages: usize,
        /// Questions.
        #[arg(long, default_value_t = 500)]
        questions: usize,
    },
}

/// Runs it.
pub(super) fn measure(args: &Bench, im: &Im) -> anyhow::Result<Report> {
    let common = common(args)?;
    let report = match &im.load {
        Load::Pairs { pairs, window, size } => {
            let pairs = im::Pairs { pairs: (*pairs).max(1), window: (*window).max(1), body_bytes: *size };
            im::measure_pairs(&common, &pairs)
        }
        Load::Group { members, online, rate, window, size } => {
            if rate.is_some_and(|rate| rate <= 0.0) {
                anyhow::bail!("--rate is more than 0");
            }
            let (members, online) = ((*members).max(2), (*online).clamp(1, members.saturating_sub(1).max(1)));
            let of = im::OfGroup { members, online, body_bytes: *size, window: *window, rate: *rate };
            im::measure_group(&common, &of)
        }
        Load::Login { users, conversations, messages, page, again } => {
            let login = im::Login {
                users: (*users).max(1),
                conversations: *conversations,
                messages: *messages,
                page: *page,
                again: *again,
            };
            im::measure_login(&common, &login)
        }
        Load::Search { messages, questions } => {
            im::measure_search(&common, &im::Search { messages: *messages, questions: *questions })
        }
    };
    report.map_err(anyhow::Error::msg)
}
