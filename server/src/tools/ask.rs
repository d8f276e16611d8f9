//! `yizhan ask`: what goes on in a running server.

use http::Method;
use serde_json::Value;

use super::table::{self, Column};
use crate::client::{Client, Reach, percent_encode};

/// Ask a running server.
#[derive(Debug, clap::Args)]
pub(crate) struct Ask {
    #[command(subcommand)]
    question: Question,
    /// Print JSON.
    #[arg(long, global = true)]
    json: bool,
    /// At most so many rows.
    #[arg(long, global = true, default_value_t = 1000)]
    limit: usize,
    #[command(flatten)]
    reach: Reach,
}

#[derive(Debug, clap::Subcommand)]
enum Question {
    /// How the server is, in figures.
    Overview,
    /// Sessions, sleeping ones included.
    Sessions {
        /// Only this user's.
        #[arg(long)]
        user: Option<String>,
    },
    /// Sessions with a live connection.
    Connections {
        /// Only this user's.
        #[arg(long)]
        user: Option<String>,
    },
    /// Topics that are kept or listened to.
    Topics {
        /// Only those that this filter matches.
        #[arg(default_value = "#")]
        filter: String,
    },
    /// Subscriptions to a topic, or of a session.
    Subscriptions {
        /// Those that hear this topic.
        #[arg(required_unless_present = "session")]
        topic: Option<String>,
        /// Those of this session.
        #[arg(long, conflicts_with = "topic")]
        session: Option<String>,
    },
    /// Spaces and what they hold.
    Spaces,
    /// Accounts.
    Accounts,
    /// Tokens, of oneself or of a user.
    Tokens {
        /// This user's.
        #[arg(long)]
        user: Option<String>,
    },
    /// What operators and users did, newest first.
    Audit {
        /// By or about this user.
        #[arg(long)]
        user: Option<String>,
    },
    /// The configuration in force.
    Config,
    /// Who one is.
    Me,
    /// Follow one client of MQTT for a while: each packet, without bodies. On the server's own machine.
    #[cfg(feature = "mqtt")]
    Trace {
        /// The client id.
        client: String,
        /// For how long.
        #[arg(long = "for", value_name = "TIME", default_value = "60s")]
        time: String,
    },
    /// End a session and its connection.
    Kick {
        /// The session's id.
        session: String,
    },
}

const SESSIONS: &[Column] = &[
    ("SESSION", "id"),
    ("USER", "user"),
    ("DEVICE", "device"),
    ("DOOR", "connection.door"),
    ("ADDRESS", "connection.address"),
    ("SINCE", "connection.since"),
    ("SUBS", "subscriptions"),
    ("WAITING", "waiting"),
    ("DELIVERED", "delivered"),
    ("MISSED", "missed"),
];

const TOPICS: &[Column] = &[
    ("TOPIC", "topic"),
    ("SPACE", "space"),
    ("LISTENERS", "listeners"),
    ("OLDEST", "kept.oldest_seq"),
    ("NEWEST", "kept.newest_seq"),
];

const SUBSCRIPTIONS: &[Column] = &[
    ("SESSION", "session"),
    ("USER", "user"),
    ("ID", "id"),
    ("FILTER", "filter"),
    ("DELIVERED", "delivered"),
    ("BEHIND", "behind"),
];

const SPACES: &[Column] = &[
    ("SPACE", "name"),
    ("TOPICS", "topics"),
    ("KEEP", "keep"),
    ("LAG", "lag"),
    ("RECORDS", "figures.records"),
    ("BYTES", "figures.bytes"),
    ("NAMES", "figures.topics"),
    ("WAITING", "figures.waiting"),
];

const TOKENS: &[Column] = &[
    ("ID", "id"),
    ("USER", "user"),
    ("NAME", "name"),
    ("KIND", "kind"),
    ("CREATED", "created_at"),
    ("EXPIRES", "expires_at"),
    ("LAST USED", "last_used_at"),
];

/// Runs it.
///
/// # Errors
/// The server cannot be reached or refuses.
pub(crate) async fn run(args: Ask) -> anyhow::Result<()> {
    let client = args.reach.client()?;
    let of_user = |user: &Option<String>| {
        user.as_ref().map(|user| format!("?user={}", percent_encode(user))).unwrap_or_default()
    };
    let list = async |path: String, columns: &[Column]| {
        show(&args, &client.list(&path, args.limit).await?, columns);
        anyhow::Ok(())
    };
    match &args.question {
        Question::Sessions { user } => list(format!("/api/v1/sessions{}", of_user(user)), SESSIONS).await,
        Question::Connections { user } => {
            list(format!("/api/v1/connections{}", of_user(user)), SESSIONS).await
        }
        Question::Topics { filter } => {
            list(format!("/api/v1/topics?filter={}", percent_encode(filter)), TOPICS).await
        }
        Question::Subscriptions { topic, session } => {
            let (name, value) = match (topic, session) {
                (Some(topic), _) => ("topic", topic.as_str()),
                (None, session) => ("session", session.as_deref().unwrap_or_default()),
            };
            list(format!("/api/v1/subscriptions?{name}={}", percent_encode(value)), SUBSCRIPTIONS).await
        }
        Question::Spaces => {
            let mut answer = client.json(Method::GET, "/api/v1/spaces", None).await?;
            let items = match answer["items"].take() {
                Value::Array(items) => items,
                _ => Vec::new(),
            };
            show(&args, &items, SPACES);
            Ok(())
        }
        Question::Accounts => list("/api/v1/accounts".into(), super::accounts::ACCOUNTS).await,
        Question::Tokens { user } => list(format!("/api/v1/tokens{}", of_user(user)), TOKENS).await,
        Question::Audit { user } => audit(&args, &client, user.as_deref()).await,
        Question::Overview => print(&client, "/api/v1/overview", args.json).await,
        Question::Config => print(&client, "/api/v1/config", true).await,
        Question::Me => print(&client, "/api/v1/me", args.json).await,
        #[cfg(feature = "mqtt")]
        Question::Trace { client, time } => {
            super::trace::run(&args.reach.data, client, time, args.json).await
        }
        Question::Kick { session } => {
            client
                .json(Method::DELETE, &format!("/api/v1/sessions/{}", percent_encode(session)), None)
                .await?;
            Ok(())
        }
    }
}

fn show(args: &Ask, items: &[Value], columns: &[Column]) {
    if !args.json {
        return table::print(items, columns);
    }
    for item in items {
        println!("{item}");
    }
}

/// The audit log has its newest entries first, so its next page is asked for with `before`.
async fn audit(args: &Ask, client: &Client, user: Option<&str>) -> anyhow::Result<()> {
    let limit = args.limit.clamp(1, 1000);
    let user = user.map(|user| format!("&user={}", percent_encode(user))).unwrap_or_default();
    let mut answer = client.json(Method::GET, &format!("/api/v1/audit?limit={limit}{user}"), None).await?;
    let mut items = match answer["items"].take() {
        Value::Array(items) => items,
        _ => Vec::new(),
    };
    if !args.json {
        // The name by which the table knows a time.
        for item in &mut items {
            item["taken_at"] = item["at"].take();
        }
    }
    let columns: &[Column] = &[
        ("ID", "id"),
        ("AT", "taken_at"),
        ("WHO", "who"),
        ("WHAT", "what"),
        ("SUBJECT", "subject"),
        ("ADDRESS", "address"),
        ("DOOR", "door"),
        ("DETAIL", "detail"),
    ];
    show(args, &items, columns);
    Ok(())
}

/// An object, as JSON or as lines of `name value`.
async fn print(client: &Client, path: &str, json: bool) -> anyhow::Result<()> {
    let answer = client.json(Method::GET, path, None).await?;
    if json {
        println!("{answer:#}");
    } else {
        print_lines("", &answer);
    }
    Ok(())
}

fn print_lines(path: &str, value: &Value) {
    match value {
        Value::Object(entries) => {
            for (key, value) in entries {
                let path = if path.is_empty() { key.clone() } else { format!("{path}.{key}") };
                print_lines(&path, value);
            }
        }
        Value::String(text) => println!("{path:<28} {text}"),
        Value::Number(n) if path.ends_with("_at") || path.ends_with(".at") => {
            println!("{path:<28} {}", n.as_u64().map_or_else(|| n.to_string(), table::show_time));
        }
        other => println!("{path:<28} {other}"),
    }
}
