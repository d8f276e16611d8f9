//! Subscriptions that clients have without asking.

use std::borrow::Cow;

use crate::{
    config::{Config, Subscription},
    names::{Names, Template, Wish},
    terms::Pattern,
};

/// Automatic subscriptions: all are made for each new session.
const SUBSCRIPTIONS_MAX: usize = 100;

/// All of them.
#[derive(Debug)]
pub struct Automatic {
    names: Names,
    all: Box<[(Pattern, Template, Wanted<()>)]>,
}

/// One, for one client.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Wanted<W = Wish> {
    /// What is heard, with whom.
    pub wish: W,
    /// The highest QoS.
    pub qos: u8,
    /// Whether the client's own messages are left out.
    pub no_local: bool,
    /// Whether the retain flag stays as the publisher set it.
    pub retain_as_published: bool,
    /// Whether retained messages come first.
    pub with_retained: bool,
}

impl Automatic {
    /// Reads the config's.
    ///
    /// # Errors
    /// Which key of which one, and what is wrong with it.
    pub fn new(config: &Config) -> Result<Self, String> {
        if config.subscribe.len() > SUBSCRIPTIONS_MAX {
            return Err(format!("subscribe: at most {SUBSCRIPTIONS_MAX} are taken"));
        }
        let names = Names::of(config);
        let one = |(i, subscription): (usize, &Subscription)| {
            read(&names, subscription).map_err(|reason| format!("subscribe[{i}].{reason}"))
        };
        let all: Result<_, _> = config.subscribe.iter().enumerate().map(one).collect();
        Ok(Self { names, all: all? })
    }

    /// Those of a client with a new session. One whose filter cannot have the client's id or user in it is
    /// left out.
    pub fn of<'a>(&'a self, client: &'a str, user: &'a str) -> impl Iterator<Item = Wanted> + 'a {
        let mine = self.all.iter().filter(move |(clients, ..)| clients.fits(client));
        mine.filter_map(move |(_, filter, wanted)| {
            let filter = filter.fill(client, user)?;
            let wish = self.names.wish(&filter, Cow::Borrowed).ok()?;
            let Wanted { qos, no_local, retain_as_published, with_retained, .. } = *wanted;
            Some(Wanted { wish, qos, no_local, retain_as_published, with_retained })
        })
    }
}

fn read(names: &Names, from: &Subscription) -> Result<(Pattern, Template, Wanted<()>), String> {
    let filter = Template::new(&from.filter);
    let example = filter.fill("c", "u").unwrap_or_default();
    let wish = names.wish(&example, Cow::Borrowed).map_err(|bad| format!("filter: {bad}"))?;
    if from.qos > 2 {
        return Err("qos: 0, 1 or 2".to_owned());
    }
    if from.retain_handling > 2 {
        return Err("retain_handling: 0, 1 or 2".to_owned());
    }
    let shared = matches!(wish.among, crate::names::Among::Group(_));
    if shared && from.no_local {
        // MQTT-3.8.3-4.
        return Err("no_local: not with a shared subscription".to_owned());
    }
    let wanted = Wanted {
        wish: (),
        qos: from.qos,
        no_local: from.no_local,
        retain_as_published: from.retain_as_published,
        // Shared ones never get retained messages (MQTT 5 §4.8.2).
        with_retained: from.retain_handling < 2 && !shared,
    };
    Ok((Pattern::new(from.client.as_deref().unwrap_or("*")), filter, wanted))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::names::Among;

    fn subscription(filter: &str) -> Subscription {
        toml::from_str(&format!("filter = '{filter}'")).unwrap()
    }

    fn automatic(subscribe: Vec<Subscription>) -> Result<Automatic, String> {
        Automatic::new(&Config { subscribe, ..Config::default() })
    }

    fn filters(automatic: &Automatic, client: &str) -> Vec<String> {
        automatic.of(client, "ann").map(|wanted| wanted.wish.filter.as_str().to_owned()).collect()
    }

    #[test]
    fn a_client_has_its_own_and_those_of_all() {
        let pumps = Subscription { client: Some("pump-*".into()), ..subscription("pumps/#") };
        let automatic = automatic(vec![subscription("to/%c/+"), subscription("all"), pumps]).unwrap();
        assert_eq!(filters(&automatic, "c1"), ["to/c1/+", "all"]);
        assert_eq!(filters(&automatic, "pump-1"), ["to/pump-1/+", "all", "pumps/#"]);
    }

    #[test]
    fn a_client_id_widens_no_filter() {
        let automatic = automatic(vec![subscription("to/%c"), subscription("all")]).unwrap();
        for client in ["#", "+", "a/b"] {
            assert_eq!(filters(&automatic, client), ["all"], "{client}");
        }
    }

    #[test]
    fn shared_ones_get_nothing_retained() {
        let automatic = automatic(vec![subscription("$share/g/a"), subscription("a")]).unwrap();
        let all: Vec<Wanted> = automatic.of("c", "u").collect();
        assert_eq!(all[0].wish.among, Among::Group("g".into()));
        assert_eq!([all[0].with_retained, all[1].with_retained], [false, true]);
    }

    #[test]
    fn bad_ones_say_which_key_and_why() {
        let no_local = Subscription { no_local: true, ..subscription("$share/g/a") };
        for (bad, key) in [
            (subscription("a/#/b"), "subscribe[0].filter: "),
            (subscription(""), "subscribe[0].filter: "),
            (Subscription { qos: 3, ..subscription("a") }, "subscribe[0].qos: "),
            (Subscription { retain_handling: 3, ..subscription("a") }, "subscribe[0].retain_handling: "),
            (no_local, "subscribe[0].no_local: "),
        ] {
            let error = automatic(vec![bad]).unwrap_err();
            assert!(error.starts_with(key), "{error}");
        }
    }
}
