//! `yizhan live`: tokens that let somebody watch or publish a broadcast.

use std::{net::IpAddr, path::PathBuf, time::Duration};

use anyhow::{Context, bail};
use http::Method;
use serde_json::{Value, json};
use yizhan_media::{
    Name,
    access::{
        config::Tokens,
        token::{Doing, Grant, Signer},
    },
};
use yizhan_net::SystemClock;
use yizhan_talk::{Clock as _, Timestamp};

use crate::{
    cli,
    client::Reach,
    config::{self, Layers, units::parse_duration},
};

/// Live streaming.
#[derive(Debug, clap::Args)]
pub(crate) struct Live {
    #[command(subcommand)]
    action: Action,
    #[command(flatten)]
    reach: Reach,
}

#[derive(Debug, clap::Subcommand)]
enum Action {
    /// Make a token that lets somebody watch a broadcast, and print it: `?token=…` behind an address.
    Token(Token),
}

#[derive(Debug, clap::Args)]
struct Token {
    /// The broadcast: `live/room1`. `live/*` is every broadcast of the app.
    broadcast: String,
    /// It lets publish, and not watch.
    #[arg(long)]
    publish: bool,
    /// How long it is good: `90s`, `12h`, `30d`. Left out, as `live.tokens.valid_for` says.
    #[arg(long = "for", value_name = "TIME")]
    time: Option<String>,
    /// Whose it is.
    #[arg(long)]
    user: Option<String>,
    /// The only address that it is good for.
    #[arg(long, value_name = "IP")]
    address: Option<IpAddr>,
    /// It is good for one time only.
    #[arg(long)]
    once: bool,
    /// Sign it here with the secret of this config file; no server has to run.
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
}

/// Runs `yizhan live`.
///
/// # Errors
/// The server cannot be reached or refuses; or there is no secret.
pub(crate) async fn run(args: Live) -> anyhow::Result<()> {
    let Action::Token(wanted) = &args.action;
    let token = match &wanted.config {
        Some(file) => {
            let (file, env) = (Some(file.clone()), config::environment());
            let layers = Layers { dev: false, file, data: None, env, set: Vec::new() };
            signed(wanted, &cli::load(&layers)?.live.tokens, SystemClock.now().wall)?
        }
        None => {
            let made =
                args.reach.client()?.json(Method::POST, "/live/v1/token", Some(&question(wanted)?)).await?;
            made["token"].as_str().context("the answer has no token: is this Yizhan?")?.to_owned()
        }
    };
    println!("{token}");
    Ok(())
}

/// The app, and the broadcast where it is one.
fn parts(broadcast: &str) -> anyhow::Result<(&str, Option<&str>)> {
    let (app, name) = broadcast.split_once('/').context("a broadcast is APP/NAME: live/room1, or live/*")?;
    Ok((app, Some(name).filter(|name| *name != "*")))
}

/// The time asked for; `None`: as the config says.
fn valid(wanted: &Token) -> anyhow::Result<Option<Duration>> {
    let Some(text) = &wanted.time else { return Ok(None) };
    let time = parse_duration(text)
        .with_context(|| format!("'{text}' is no time: write it like 90s, 12h or 30d"))?;
    Ok(Some(time))
}

/// What a running server is asked.
fn question(wanted: &Token) -> anyhow::Result<Value> {
    let (app, name) = parts(&wanted.broadcast)?;
    let mut question = json!({
        "app": app, "action": if wanted.publish { "publish" } else { "play" }, "once": wanted.once,
    });
    for (field, value) in [
        ("name", name.map(Into::into)),
        ("valid_s", valid(wanted)?.map(|time| time.as_secs().into())),
        ("user", wanted.user.as_deref().map(Into::into)),
        ("address", wanted.address.map(|address| address.to_string().into())),
    ] {
        if let Some(value) = value {
            question[field] = value;
        }
    }
    Ok(question)
}

/// A token by the secret of a config.
fn signed(wanted: &Token, tokens: &Tokens, now: Timestamp) -> anyhow::Result<String> {
    let (app, name) = parts(&wanted.broadcast)?;
    let time = valid(wanted)?.unwrap_or(tokens.valid_for);
    if time < Duration::from_secs(1) || time > tokens.valid_max {
        bail!("a token is good for 1 to {} s (live.tokens.valid_max)", tokens.valid_max.as_secs());
    }
    let doing = if wanted.publish { Doing::Publish } else { Doing::Play };
    let grant = Grant {
        user: wanted.user.clone(),
        address: wanted.address,
        once: wanted.once.then(|| format!("{:032x}", rand::random::<u128>())),
        wide: name.is_none(),
        ..Grant::new(doing, now.plus(time))
    };
    grant.check().map_err(anyhow::Error::msg)?;
    // Of a token for the whole app any name will do.
    let name = Name::new(app, name.unwrap_or("any"))?;
    Signer::new(tokens).sign(&name, &grant).context("there is no secret: set live.tokens.secret")
}

#[cfg(test)]
mod tests {
    use yizhan_media::access::secret::Secret;

    use super::*;

    const NOW: Timestamp = Timestamp::from_millis(1_790_000_000_000);

    fn wanted(broadcast: &str) -> Token {
        Token {
            broadcast: broadcast.into(),
            publish: false,
            time: Some("1h".into()),
            user: None,
            address: None,
            once: false,
            config: None,
        }
    }

    fn tokens() -> Tokens {
        Tokens { secret: Secret::new("0123456789abcdef"), ..Tokens::default() }
    }

    /// The token was made with Python: see `services/media/src/access/token.rs`.
    #[test]
    fn a_token_signed_here_is_one_that_the_server_takes() {
        let token = signed(&wanted("live/room1"), &tokens(), NOW).unwrap();
        assert_eq!(token, "v1790003600.UfmXK_aycBU3YwgM1kfBo3aB");
        let wide = Token { publish: true, user: Some("bob".into()), once: true, ..wanted("live/*") };
        let token = signed(&wide, &tokens(), NOW).unwrap();
        let name = Name::new("live", "whatever").unwrap();
        let grant = Signer::new(&tokens()).check(&token, Doing::Publish, &name, None, NOW).unwrap();
        assert_eq!((grant.user.as_deref(), grant.wide, grant.once.is_some()), (Some("bob"), true, true));
    }

    #[test]
    fn what_cannot_be_made_is_told() {
        for (bad, word) in [
            (wanted("room1"), "APP/NAME"),
            (wanted("live/../x"), "letters"),
            (Token { time: Some("soon".into()), ..wanted("live/a") }, "soon"),
            (Token { time: Some("0s".into()), ..wanted("live/a") }, "valid_max"),
            (Token { time: Some("900d".into()), ..wanted("live/a") }, "valid_max"),
            (Token { user: Some(String::new()), ..wanted("live/a") }, "user"),
        ] {
            let said = format!("{:#}", signed(&bad, &tokens(), NOW).unwrap_err());
            assert!(said.contains(word), "{said}");
        }
        assert!(signed(&wanted("live/a"), &Tokens::default(), NOW).is_err());
    }

    #[test]
    fn a_server_is_asked_for_what_was_said_and_nothing_else() {
        let asked = question(&wanted("live/room1")).unwrap();
        let plain =
            json!({ "app": "live", "name": "room1", "action": "play", "valid_s": 3600, "once": false });
        assert_eq!(asked, plain);
        let wide = Token { time: None, address: Some([192, 0, 2, 1].into()), ..wanted("live/*") };
        let asked = question(&wide).unwrap();
        assert_eq!(asked, json!({ "app": "live", "action": "play", "once": false, "address": "192.0.2.1" }));
    }
}
