//! `yizhan ask`: what goes on in a running server.

use anyhow::Context;
use http::Method;
use serde_json::{Value, json};

use super::table::{self, Column};
use crate::{
    client::{Client, Reach, percent_encode},
    config::units::parse_duration,
};

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
    /// Clients: sessions with their names (MQTT's client ids), sleeping ones included.
    Clients {
        /// Only those whose name, user, address or session id has this in it.
        search: Option<String>,
        /// Only those of this door: `mqtt`, `ws`, …
        #[arg(long)]
        door: Option<String>,
        /// Only those that are `live` or `asleep`.
        #[arg(long)]
        state: Option<String>,
    },
    /// One client: its session, and what it listens to.
    Client {
        /// Its name (MQTT's client id) or its session's id.
        client: String,
    },
    /// End a session and its connection.
    Kick {
        /// The session's id, or the client's name.
        session: String,
        /// Only close the connection: the session sleeps as long as it is kept.
        #[arg(long)]
        disconnect: bool,
    },
    /// Who is kept out.
    Bans,
    /// Keep somebody out, and end the connections that are there.
    Ban {
        /// `user:NAME`, `device:CLIENT-ID`, `client:USER/CLIENT-ID` or `address:RANGE`.
        whom: String,
        /// Why; the client is told.
        #[arg(long)]
        reason: Option<String>,
        /// For how long (`10m`, `1h`, `7d`); for ever where left out.
        #[arg(long = "for", value_name = "TIME")]
        time: Option<String>,
    },
    /// Let somebody in again.
    Unban {
        /// As it was given to `ban`.
        whom: String,
    },
    /// Groups that share a filter.
    Groups,
    /// Messages that wait for their time.
    Delayed {
        /// Cancel the one with this id.
        #[arg(long, value_name = "ID")]
        cancel: Option<String>,
    },
    /// Bridges to other brokers.
    Bridges,
    /// Retained messages.
    Retained {
        #[command(subcommand)]
        what: Retained,
    },
}

#[derive(Debug, clap::Subcommand)]
enum Retained {
    /// Take a topic's retained message away.
    Clear {
        /// The topic.
        topic: String,
    },
}

const CLIENTS: &[Column] = &[
    ("NAME", "name"),
    ("USER", "user"),
    ("DOOR", "door"),
    ("ADDRESS", "connection.address"),
    ("SINCE", "connection.since"),
    ("SUBS", "subscriptions"),
    ("WAITING", "waiting"),
    ("INFLIGHT", "figures.inflight"),
    ("DELIVERED", "delivered"),
    ("MISSED", "missed"),
    ("SESSION", "id"),
];

const BANS: &[Column] =
    &[("WHOM", "whom"), ("REASON", "reason"), ("BY", "by"), ("SINCE", "made_at"), ("UNTIL", "ends_at")];

const GROUPS: &[Column] = &[
    ("GROUP", "name"),
    ("FILTER", "filter"),
    ("DEALT", "deal"),
    ("MEMBERS", "members"),
    ("LIVE", "live"),
    ("UNACKED", "unacked"),
    ("WAITING", "waiting"),
    ("MISSED", "missed"),
    ("BEHIND", "behind"),
];

const DELAYED: &[Column] = &[
    ("DUE", "due_at"),
    ("TOPIC", "topic"),
    ("USER", "user"),
    ("DEVICE", "device"),
    ("BYTES", "bytes"),
    ("TAKEN", "taken_at"),
    ("ID", "id"),
];

const BRIDGES: &[Column] = &[
    ("BRIDGE", "name"),
    ("ADDRESS", "address"),
    ("UP SINCE", "connected_at"),
    ("WAITING", "waiting"),
    ("SENT", "sent"),
    ("RECEIVED", "received"),
    ("DROPPED", "dropped"),
    ("MISSED", "missed"),
    ("LAST ERROR", "last_error"),
];

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
        Question::Clients { search, door, state } => {
            let wanted = [("search", search), ("door", door), ("state", state)];
            let wanted = wanted.iter().filter_map(|(name, value)| Some((name, value.as_ref()?)));
            let pairs: Vec<_> =
                wanted.map(|(name, value)| format!("{name}={}", percent_encode(value))).collect();
            list(format!("/api/v1/sessions?{}", pairs.join("&")), CLIENTS).await
        }
        Question::Client { client: name } => one_client(&args, &client, name).await,
        Question::Groups => list("/api/v1/groups".into(), GROUPS).await,
        Question::Bridges => list("/api/v1/bridges".into(), BRIDGES).await,
        Question::Delayed { cancel: None } => list("/api/v1/delayed".into(), DELAYED).await,
        Question::Bans => bans(&args, &client).await,
        deed => act(&client, deed).await,
    }
}

/// Does what changes something.
async fn act(client: &Client, deed: &Question) -> anyhow::Result<()> {
    let (method, path, body) = match deed {
        Question::Kick { session, disconnect } => {
            let path = format!("/api/v1/sessions/{}", session_of(client, session).await?);
            match disconnect {
                true => (Method::POST, format!("{path}/disconnect"), None),
                false => (Method::DELETE, path, None),
            }
        }
        Question::Delayed { cancel: Some(id) } => {
            (Method::DELETE, format!("/api/v1/delayed/{}", percent_encode(id)), None)
        }
        Question::Retained { what: Retained::Clear { topic } } => {
            (Method::DELETE, format!("/api/v1/retained?topic={}", percent_encode(topic)), None)
        }
        Question::Ban { whom, reason, time } => {
            let seconds = match time {
                None => None,
                Some(time) => {
                    Some(parse_duration(time).context("--for is a time such as 10m, 1h or 7d")?.as_secs())
                }
            };
            let body = json!({ "whom": whom, "reason": reason, "expires_in": seconds });
            (Method::POST, "/api/v1/bans".into(), Some(body))
        }
        Question::Unban { whom } => {
            (Method::DELETE, format!("/api/v1/bans?whom={}", percent_encode(whom)), None)
        }
        // All others are answered in `run`.
        _ => return Ok(()),
    };
    client.json(method, &path, body.as_ref()).await.map(drop)
}

/// A session's id, from that or from the name of its client.
async fn session_of(client: &Client, name: &str) -> anyhow::Result<String> {
    let found = client.list(&format!("/api/v1/sessions?search={}", percent_encode(name)), 1000).await?;
    let is = |session: &&Value| {
        let own = session["name"].as_str().and_then(|name| name.split_once(':')).map(|(_, name)| name);
        session["id"] == name || own == Some(name)
    };
    let mut named = found.iter().filter(is);
    let session = named.next().with_context(|| format!("there is no client '{name}'"))?;
    anyhow::ensure!(named.next().is_none(), "several users have a client '{name}': give the session's id");
    Ok(session["id"].as_str().unwrap_or_default().to_owned())
}

/// A session, and what it listens to.
async fn one_client(args: &Ask, client: &Client, name: &str) -> anyhow::Result<()> {
    let id = session_of(client, name).await?;
    let mut session = client.json(Method::GET, &format!("/api/v1/sessions/{id}"), None).await?;
    let hears = client.list(&format!("/api/v1/subscriptions?session={id}"), args.limit).await?;
    if args.json {
        session["hears"] = hears.into();
        println!("{session:#}");
        return Ok(());
    }
    print_lines("", &session);
    println!();
    table::print(
        &hears,
        &[
            ("FILTER", "filter"),
            ("QOS", "qos"),
            ("GROUP", "group"),
            ("DELIVERED", "delivered"),
            ("BEHIND", "behind"),
        ],
    );
    Ok(())
}

/// Bans, with their times under names that the table knows as times.
async fn bans(args: &Ask, client: &Client) -> anyhow::Result<()> {
    let mut items = client.list("/api/v1/bans", args.limit).await?;
    if !args.json {
        for item in &mut items {
            item["made_at"] = item["at"].take();
            item["ends_at"] = item["until"].take();
        }
    }
    show(args, &items, BANS);
    Ok(())
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
