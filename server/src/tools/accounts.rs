//! `yizhan account` and `yizhan token`.

use std::io::{BufRead, IsTerminal, Write};

use anyhow::{Context, bail};
use http::Method;
use serde_json::{Value, json};

use super::table::{self, Column};
use crate::{
    client::{Reach, percent_encode},
    config::units::parse_duration,
};

/// The columns of a list of accounts.
pub(crate) const ACCOUNTS: &[Column] = &[
    ("USER", "user"),
    ("ROLES", "roles"),
    ("DISABLED", "disabled"),
    ("PASSWORD", "has_password"),
    ("CREATED", "created_at"),
    ("LAST LOGIN", "last_login_at"),
];

/// Accounts of a running server.
#[derive(Debug, clap::Args)]
pub(crate) struct Account {
    #[command(subcommand)]
    action: AccountAction,
    #[command(flatten)]
    reach: Reach,
}

#[derive(Debug, clap::Subcommand)]
enum AccountAction {
    /// Make an account. The password is asked for, or read from the standard input.
    Add {
        /// Its name.
        user: String,
        /// Its roles: owner, admin, user, or names that rules use. May be given several times.
        #[arg(long = "role", default_value = "user")]
        roles: Vec<String>,
        /// No password: print a link that signs in once instead.
        #[arg(long)]
        invite: bool,
    },
    /// Set an account's password. It is asked for, or read from the standard input.
    Passwd {
        /// Whose.
        user: String,
    },
    /// Print a link that signs a user in once.
    Link {
        /// Whom.
        user: String,
    },
    /// All accounts.
    List,
    /// Set an account's roles.
    Roles {
        /// Whose.
        user: String,
        /// The roles.
        #[arg(required = true)]
        roles: Vec<String>,
    },
    /// No longer let an account in; its connections end.
    Disable {
        /// Whom.
        user: String,
    },
    /// Let an account in again.
    Enable {
        /// Whom.
        user: String,
    },
    /// Remove an account.
    Remove {
        /// Whom.
        user: String,
    },
}

/// Runs `yizhan account`.
///
/// # Errors
/// The server cannot be reached or refuses.
pub(crate) async fn account(args: Account) -> anyhow::Result<()> {
    let client = args.reach.client()?;
    let path = |user: &str| format!("/api/v1/accounts/{}", percent_encode(user).replace('/', "%2F"));
    let change = async |user: &str, change: Value| {
        client.json(Method::PATCH, &path(user), Some(&change)).await.map(|_| ())
    };
    let link = async |user: &str, roles: Option<&[String]>| {
        let mut body = json!({"user": user});
        if let Some(roles) = roles {
            body["roles"] = json!(roles);
        }
        let invitation = client.json(Method::POST, "/api/v1/invite", Some(&body)).await?;
        println!("{}{}", args.reach.url(), invitation["path"].as_str().unwrap_or_default());
        anyhow::Ok(())
    };
    match &args.action {
        AccountAction::Add { user, roles, invite: true } => link(user, Some(roles)).await,
        AccountAction::Add { user, roles, invite: false } => {
            let body = json!({"user": user, "roles": roles, "password": new_password()?});
            client.json(Method::POST, "/api/v1/accounts", Some(&body)).await.map(|_| ())
        }
        AccountAction::Passwd { user } => change(user, json!({"password": new_password()?})).await,
        AccountAction::Link { user } => link(user, None).await,
        AccountAction::List => {
            table::print(&client.list("/api/v1/accounts", usize::MAX).await?, ACCOUNTS);
            Ok(())
        }
        AccountAction::Roles { user, roles } => change(user, json!({"roles": roles})).await,
        AccountAction::Disable { user } => change(user, json!({"disabled": true})).await,
        AccountAction::Enable { user } => change(user, json!({"disabled": false})).await,
        AccountAction::Remove { user } => client.json(Method::DELETE, &path(user), None).await.map(|_| ()),
    }
}

/// Tokens of a running server.
#[derive(Debug, clap::Args)]
pub(crate) struct Token {
    #[command(subcommand)]
    action: TokenAction,
    #[command(flatten)]
    reach: Reach,
}

#[derive(Debug, clap::Subcommand)]
enum TokenAction {
    /// Make a token and print it: it is shown this once.
    New {
        /// What it is for.
        name: String,
        /// For this user instead of oneself.
        #[arg(long)]
        user: Option<String>,
        /// How long it is good: `30d`, `12h`, or `never`.
        #[arg(long, value_name = "DURATION")]
        expires: Option<String>,
        /// It may publish here, and nothing else that is not named. May be given several times.
        #[arg(long, value_name = "FILTER")]
        publish: Vec<String>,
        /// It may subscribe here, and nothing else that is not named. May be given several times.
        #[arg(long, value_name = "FILTER")]
        subscribe: Vec<String>,
    },
    /// Revoke a token; connections made with it end.
    Revoke {
        /// Its id, as `yizhan ask tokens` shows it.
        id: String,
    },
}

/// Runs `yizhan token`.
///
/// # Errors
/// The server cannot be reached or refuses.
pub(crate) async fn token(args: Token) -> anyhow::Result<()> {
    let client = args.reach.client()?;
    match &args.action {
        TokenAction::New { name, user, expires, publish, subscribe } => {
            let mut body = json!({"name": name});
            if let Some(user) = user {
                body["user"] = user.as_str().into();
            }
            match expires.as_deref() {
                None => {}
                Some("never") => body["expires_in"] = Value::Null,
                Some(text) => {
                    let length = parse_duration(text).with_context(|| format!("'{text}' is no duration"))?;
                    body["expires_in"] = length.as_secs().into();
                }
            }
            let rule = |action: &str, topics: &Vec<String>| {
                (!topics.is_empty())
                    .then(|| json!({"effect": "allow", "actions": [action], "topics": topics}))
            };
            let rules: Vec<Value> =
                [rule("publish", publish), rule("subscribe", subscribe)].into_iter().flatten().collect();
            if !rules.is_empty() {
                body["rules"] = rules.into();
            }
            let made = client.json(Method::POST, "/api/v1/tokens", Some(&body)).await?;
            println!("{}", made["token"].as_str().unwrap_or_default());
            Ok(())
        }
        TokenAction::Revoke { id } => {
            client.json(Method::DELETE, &format!("/api/v1/tokens/{}", percent_encode(id)), None).await?;
            Ok(())
        }
    }
}

/// A new password: twice and without an echo on a terminal, one line of the standard input elsewhere.
fn new_password() -> anyhow::Result<String> {
    let stdin = std::io::stdin();
    if !stdin.is_terminal() {
        return read_line();
    }
    let first = hidden_line("New password: ")?;
    if first != hidden_line("Once more: ")? {
        bail!("the two are not the same");
    }
    Ok(first)
}

fn read_line() -> anyhow::Result<String> {
    let mut line = String::new();
    std::io::stdin().lock().read_line(&mut line).context("cannot read the password")?;
    Ok(line.trim_end_matches(['\r', '\n']).to_owned())
}

fn hidden_line(prompt: &str) -> anyhow::Result<String> {
    use rustix::termios::{LocalModes, OptionalActions, tcgetattr, tcsetattr};
    let stdin = std::io::stdin();
    eprint!("{prompt}");
    std::io::stderr().flush().context("cannot write to the terminal")?;
    let before = tcgetattr(&stdin).context("cannot read the terminal's mode")?;
    let mut silent = before.clone();
    silent.local_modes.remove(LocalModes::ECHO);
    tcsetattr(&stdin, OptionalActions::Flush, &silent).context("cannot hide the password")?;
    let line = read_line();
    tcsetattr(&stdin, OptionalActions::Flush, &before).context("cannot set the terminal back")?;
    eprintln!();
    line
}
