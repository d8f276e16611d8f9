//! `yizhan import`: what another server knows about users, taken over.

mod acl;
mod passwords;

use std::{
    io::Write,
    path::{Path, PathBuf},
};

use anyhow::{Context, bail};
use futures_util::{StreamExt, stream};
use http::Method;
use serde::Serialize;
use serde_json::json;
use yizhan_identity::rules::{Doing, Effect, RoleRule};

use crate::client::{Client, Reach};

/// Accounts that are made at one time.
const AT_ONCE: usize = 16;
/// The server's answer for an account that is there already.
const EXISTS: &str = "refused (320)";

/// What to take over.
#[derive(Debug, clap::Subcommand)]
pub(crate) enum Import {
    /// Users and access control list of mosquitto: accounts in a running server, and rules for its config.
    Mosquitto(Mosquitto),
}

/// `yizhan import mosquitto`.
#[derive(Debug, clap::Args)]
pub(crate) struct Mosquitto {
    /// mosquitto's password file. Its users become accounts that keep their passwords.
    #[arg(long, value_name = "FILE", required_unless_present = "acl")]
    passwords: Option<PathBuf>,
    /// mosquitto's ACL file. It becomes rules for the config, in TOML.
    #[arg(long, value_name = "FILE")]
    acl: Option<PathBuf>,
    /// Where the rules go; a file that is there is never overwritten. Without it: the standard output.
    #[arg(long, value_name = "FILE", requires = "acl")]
    rules: Option<PathBuf>,
    /// The accounts' roles. May be given several times.
    #[arg(long = "role", value_name = "ROLE", default_value = "user")]
    roles: Vec<String>,
    /// Say what would be done, and do nothing.
    #[arg(long)]
    dry_run: bool,
    #[command(flatten)]
    reach: Reach,
}

/// Runs `yizhan import`.
///
/// # Errors
/// A file can't be read, the server can't be reached, or something was left out.
pub(crate) async fn run(import: Import) -> anyhow::Result<()> {
    let Import::Mosquitto(args) = import;
    // The rules come first: they are checked as a whole, and nothing is done where they can't be.
    let mut left_out = match &args.acl {
        Some(file) => rules(&args, file)?,
        None => 0,
    };
    if let Some(file) = &args.passwords {
        left_out += accounts(&args, file).await?;
    }
    if left_out > 0 {
        let lines = if left_out == 1 { "one line was".to_owned() } else { format!("{left_out} lines were") };
        bail!("{lines} left out: see above");
    }
    Ok(())
}

fn read(file: &Path) -> anyhow::Result<Vec<u8>> {
    std::fs::read(file).with_context(|| format!("cannot read {}", file.display()))
}

/// Writes the rules; gives how many lines have none.
fn rules(args: &Mosquitto, file: &Path) -> anyhow::Result<usize> {
    let translated = acl::translate(&read(file)?, &args.roles);
    for out in &translated.left_out {
        eprintln!("{}:{}: left out: {}", file.display(), out.line, out.reason);
    }
    if translated.left_out.iter().any(|out| out.denies) {
        bail!("a line that denies something has no rule, so the rules would allow too much: change it first");
    }
    let config = yizhan_identity::Config { rules: translated.rules, ..yizhan_identity::Config::default() };
    config.check().context("these rules are too many for one config")?;
    let text = fragment(file, &config.rules)?;
    match &args.rules {
        _ if args.dry_run => println!("{} rules would be written", config.rules.len()),
        Some(to) => {
            let opened = std::fs::OpenOptions::new().write(true).create_new(true).open(to);
            let mut opened = opened.with_context(|| format!("cannot write {}", to.display()))?;
            opened.write_all(text.as_bytes()).with_context(|| format!("cannot write {}", to.display()))?;
            println!("wrote {} rules to {}", config.rules.len(), to.display());
        }
        None => {
            std::io::stdout().write_all(text.as_bytes()).context("cannot write to the standard output")?
        }
    }
    Ok(translated.left_out.len())
}

/// The rules as a part of a config file.
fn fragment(from: &Path, rules: &[RoleRule]) -> anyhow::Result<String> {
    #[derive(Serialize)]
    struct Whole<'a> {
        identity: Section<'a>,
    }
    #[derive(Serialize)]
    struct Section<'a> {
        rules: Vec<Shown<'a>>,
    }
    /// Without what is empty.
    #[derive(Serialize)]
    struct Shown<'a> {
        effect: Effect,
        #[serde(skip_serializing_if = "<[_]>::is_empty")]
        roles: &'a [String],
        #[serde(skip_serializing_if = "<[_]>::is_empty")]
        users: &'a [String],
        actions: &'a [Doing],
        topics: &'a [String],
    }
    fn shown(rule: &RoleRule) -> Shown<'_> {
        let RoleRule { effect, roles, users, actions, topics } = rule;
        Shown { effect: *effect, roles, users, actions, topics }
    }
    let whole = Whole { identity: Section { rules: rules.iter().map(shown).collect() } };
    let rules = toml::to_string(&whole).context("these rules are no TOML")?;
    Ok(format!(
        "# Rules for the config, made from {} by `yizhan import mosquitto`.\n\
         # Add them at its end, and to its section [identity]:\n\
         #   wide_filters = \"check\"   # clients may subscribe to more than they may read, as in mosquitto\n\
         #   anonymous = \"rules\"      # only where clients without a user are to come in\n\n{}\n",
        from.display(),
        rules.trim_end()
    ))
}

/// Makes the accounts; gives how many lines have none.
async fn accounts(args: &Mosquitto, file: &Path) -> anyhow::Result<usize> {
    let (entries, mut left_out) = passwords::read(&read(file)?);
    let (mut made, mut there) = (0, 0);
    if args.dry_run {
        println!("{} accounts would be made", entries.len());
    } else {
        let client = args.reach.client()?;
        let makings = entries.iter().map(|entry| make(&client, &args.roles, entry));
        let mut makings = stream::iter(makings).buffer_unordered(AT_ONCE);
        while let Some((line, making)) = makings.next().await {
            match making {
                Ok(Made::Fresh) => made += 1,
                Ok(Made::There) => there += 1,
                // One that could not be reached will not be reached for the others.
                Err(Failed::Gone(error)) => return Err(error),
                Err(Failed::Refused(reason)) => left_out.push((line, reason)),
            }
        }
        println!("{made} accounts were made, {there} were there already and stay as they are");
    }
    left_out.sort();
    for (line, reason) in &left_out {
        eprintln!("{}:{line}: left out: {reason}", file.display());
    }
    Ok(left_out.len())
}

enum Made {
    Fresh,
    There,
}

enum Failed {
    /// The server said no to this one.
    Refused(String),
    Gone(anyhow::Error),
}

async fn make(client: &Client, roles: &[String], entry: &passwords::Entry) -> (usize, Result<Made, Failed>) {
    let body = json!({"user": entry.user, "roles": roles, "password_hash": entry.hash});
    let headers = [("content-type", "application/json")];
    let answer = client.request(Method::POST, "/api/v1/accounts", &headers, body.to_string().into()).await;
    let making = match answer {
        Err(error) => Err(Failed::Gone(error)),
        Ok(answer) => match answer.json() {
            Ok(_) => Ok(Made::Fresh),
            Err(error) if error.to_string().starts_with(EXISTS) => Ok(Made::There),
            // Without the right to make one account there is no right to make others.
            Err(error) if matches!(answer.status.as_u16(), 401 | 403) => Err(Failed::Gone(error)),
            Err(error) => Err(Failed::Refused(format!("'{}': {error}", entry.user))),
        },
    };
    (entry.line, making)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Layers;

    #[test]
    fn the_rules_are_a_config() {
        let file =
            b"topic read news\nuser ann\ntopic home/ann/#\ntopic deny home/ann/diary\npattern write d/%c/up";
        let rules = acl::translate(file, &["user".to_owned()]).rules;
        let text = fragment(Path::new("acl"), &rules).unwrap();
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("y.toml");
        std::fs::write(&path, format!("[identity]\nanonymous = 'rules'\n\n{text}")).unwrap();
        let config = Layers { file: Some(path), ..Layers::default() }.load().unwrap();
        assert_eq!(config.identity.rules, rules);
        assert!(!text.contains("[]"), "{text}");
    }
}
