//! What rules let through, and what they never do.

use proptest::prelude::*;
use yizhan_hub::access::Rates;

use super::*;

fn who(user: &str, device: Option<&str>, roles: &[&str]) -> Principal {
    Principal {
        user: user.into(),
        device: device.map(Into::into),
        roles: roles.iter().map(|r| Arc::from(*r)).collect(),
        expires_at: None,
        rates: Rates::default(),
    }
}

fn policy(rules: &str) -> Policy {
    Policy::new(&toml::from_str(rules).unwrap()).unwrap()
}

fn may(policy: &Policy, who: &Principal, action: Action, topic: &str) -> bool {
    policy.may(who, action, &Topic::new(topic).unwrap())
}

fn asks(policy: &Policy, who: &Principal, filter: &str) -> Verdict {
    policy.may_filter(who, Action::Subscribe, &Filter::new(filter).unwrap())
}

#[test]
fn the_built_in_roles_do_what_the_guide_says() {
    use Action::{Presence, Publish, Subscribe};
    let policy = policy("");
    let [owner, admin, user] = ["owner", "admin", "user"].map(|role| who("x", None, &[role]));
    let [guest, anonymous, nobody] = ["guest", "anonymous", "else"].map(|role| who("x", None, &[role]));
    for action in [Publish, Subscribe, Presence] {
        assert!(may(&policy, &owner, action, "$SYS/metrics") && may(&policy, &owner, action, "rooms/a"));
        assert!(may(&policy, &admin, action, "rooms/a") && may(&policy, &user, action, "rooms/a"));
        assert_eq!(may(&policy, &admin, action, "$SYS/metrics"), action != Publish);
        assert!(!may(&policy, &user, action, "$SYS/metrics"));
        assert_eq!(may(&policy, &user, action, "$presence/user/x"), action == Subscribe);
        for stranger in [&guest, &anonymous, &nobody] {
            assert!(!may(&policy, stranger, action, "rooms/a"));
        }
    }
    assert_eq!(asks(&policy, &owner, "$SYS/#"), Verdict::Allowed);
    assert_eq!(asks(&policy, &admin, "#"), Verdict::Allowed);
    assert_eq!(asks(&policy, &user, "#"), Verdict::Allowed);
    assert_eq!(asks(&policy, &user, "$SYS/#"), Verdict::Denied);
    assert_eq!(asks(&policy, &user, "$presence/#"), Verdict::Allowed);
    assert_eq!(asks(&policy, &user, "$SYS/broker/#"), Verdict::Allowed);
    assert_ne!(asks(&policy, &user, "$SYS/#"), Verdict::Allowed);
    assert_eq!(asks(&policy, &anonymous, "rooms/#"), Verdict::Denied);
}

#[test]
fn strangers_come_in_as_far_as_the_config_says() {
    let anonymous = who("anonymous", None, &["anonymous"]);
    let read = policy("anonymous = 'read'");
    assert!(may(&read, &anonymous, Action::Subscribe, "a") && !may(&read, &anonymous, Action::Publish, "a"));
    let open = policy("anonymous = 'open'");
    assert!(
        may(&open, &anonymous, Action::Publish, "a") && !may(&open, &anonymous, Action::Publish, "$SYS/a")
    );
    assert!(!may(&open, &anonymous, Action::Subscribe, "$SYS/a"));
    let rules = policy(
        "anonymous = 'rules'\n[[rules]]\neffect = 'allow'\nroles = ['anonymous']\ntopics = ['news/#']",
    );
    assert!(
        may(&rules, &anonymous, Action::Subscribe, "news/x")
            && !may(&rules, &anonymous, Action::Subscribe, "a")
    );
}

#[test]
fn the_first_rule_that_fits_decides() {
    let policy = policy(
        "[[rules]]\neffect = 'deny'\ntopics = ['rooms/secret/#']\n\
         [[rules]]\neffect = 'allow'\nroles = ['user']\nactions = ['subscribe']\ntopics = ['rooms/#', 'news']\n\
         [[rules]]\neffect = 'allow'\nroles = ['user']\ntopics = ['home/${user}/#', 'device/${device}']",
    );
    let ann = who("ann", Some("phone"), &["user"]);
    assert!(may(&policy, &ann, Action::Subscribe, "rooms/a"));
    assert!(!may(&policy, &ann, Action::Publish, "rooms/a"));
    assert!(!may(&policy, &ann, Action::Subscribe, "rooms/secret/plan"));
    assert!(
        may(&policy, &ann, Action::Publish, "home/ann/x") && may(&policy, &ann, Action::Publish, "home/ann")
    );
    assert!(!may(&policy, &ann, Action::Publish, "home/bob/x"));
    assert!(may(&policy, &ann, Action::Publish, "device/phone"));
    assert!(!may(&policy, &ann, Action::Publish, "elsewhere"));
    assert_eq!(asks(&policy, &ann, "rooms/#"), Verdict::Checked);
    assert_eq!(asks(&policy, &ann, "rooms/+"), Verdict::Checked, "rooms/secret is one of them");
    assert_eq!(asks(&policy, &ann, "rooms/a/#"), Verdict::Allowed);
    assert_eq!(asks(&policy, &ann, "rooms/secret/+"), Verdict::Denied);
    assert_eq!(asks(&policy, &ann, "#"), Verdict::Denied, "ask for less");
    assert_eq!(asks(&policy, &ann, "home/+/x"), Verdict::Denied);
    assert_eq!(asks(&policy, &ann, "home/ann/+"), Verdict::Allowed);
    let owner = who("own", None, &["owner"]);
    assert!(may(&policy, &owner, Action::Publish, "rooms/secret/plan"), "owners can't lock themselves out");
}

#[test]
fn rules_may_name_users() {
    let policy = policy(
        "[[rules]]\neffect = 'deny'\nusers = ['ann', 'bob']\ntopics = ['rooms/board']\n\
         [[rules]]\neffect = 'allow'\nroles = ['user']\ntopics = ['rooms/#']\n\
         [[rules]]\neffect = 'allow'\nusers = ['ann', 'ann']\nroles = ['night']\ntopics = ['doors/#']\n\
         [[rules]]\neffect = 'deny'\ntopics = ['#']\n\
         [[rules]]\neffect = 'allow'\nusers = ['ann']\ntopics = ['late']",
    );
    let may = |user: &str, roles: &[&str], topic: &str| {
        may(&policy, &who(user, None, roles), Action::Publish, topic)
    };
    assert!(!may("ann", &["user"], "rooms/board") && !may("bob", &["user"], "rooms/board"));
    assert!(may("carl", &["user"], "rooms/board") && may("ann", &["user"], "rooms/a"));
    assert!(may("ann", &["night"], "doors/a"), "named, and has the role");
    assert!(!may("ann", &["user"], "doors/a") && !may("bob", &["night"], "doors/a"), "both must fit");
    assert!(!may("ann", &["user"], "late"), "the order is that of the config");
    assert!(may("ann", &["owner"], "rooms/board") && !may("ann", &["admin"], "rooms/a"));
    let ann = who("ann", None, &["user"]);
    assert_eq!(asks(&policy, &ann, "rooms/#"), Verdict::Checked);
    assert_eq!(asks(&policy, &who("carl", None, &["user"]), "rooms/#"), Verdict::Allowed);
}

#[test]
fn a_client_is_the_same_as_a_device() {
    let policy = policy("[[rules]]\neffect = 'allow'\ntopics = ['c/${client}/#', 'u/${user}/${client}']");
    let ann = who("ann", Some("sensor-7"), &["user"]);
    assert!(
        may(&policy, &ann, Action::Publish, "c/sensor-7/x")
            && !may(&policy, &ann, Action::Publish, "c/other/x")
    );
    assert!(may(&policy, &ann, Action::Publish, "u/ann/sensor-7"));
    assert_eq!(asks(&policy, &ann, "c/sensor-7/+"), Verdict::Allowed);
    for evil in ["+", "#", "a/b", "$SYS", "sensor-7/#", "", "a\u{0}"] {
        let evil = who("ann", Some(evil), &["user"]);
        for topic in ["c/a/b", "c/x", "c//x", "c/sensor-7/x", "c/+/x", "u/ann/x"] {
            if let Ok(topic) = Topic::new(topic) {
                assert!(!policy.may(&evil, Action::Publish, &topic), "{evil:?} {topic}");
            }
        }
        for filter in ["c/+/#", "c/#", "c/sensor-7/#", "u/+/+"] {
            assert_eq!(asks(&policy, &evil, filter), Verdict::Denied, "{evil:?} {filter}");
        }
    }
}

#[test]
fn a_filter_wider_than_the_rights_is_refused_or_checked() {
    let rules = "[[rules]]\neffect = 'allow'\nactions = ['subscribe']\ntopics = ['rooms/+/a', 'news']\n\
                 [[rules]]\neffect = 'deny'\ntopics = ['rooms/#']\n\
                 [[rules]]\neffect = 'allow'\nactions = ['publish']\ntopics = ['data/#']";
    let ann = who("ann", None, &["user"]);
    let (refuse, check) = (policy(rules), policy(&format!("wide_filters = 'check'\n{rules}")));
    for (filter, refused, checked) in [
        ("#", Verdict::Denied, Verdict::Checked),
        ("rooms/#", Verdict::Denied, Verdict::Checked),
        ("+", Verdict::Denied, Verdict::Checked),
        ("rooms/b/a", Verdict::Allowed, Verdict::Allowed),
        ("rooms/b/b", Verdict::Denied, Verdict::Denied),
        ("rooms/b/#", Verdict::Denied, Verdict::Checked),
        ("data/#", Verdict::Denied, Verdict::Denied),
        ("$SYS/#", Verdict::Denied, Verdict::Denied),
    ] {
        assert_eq!((asks(&refuse, &ann, filter), asks(&check, &ann, filter)), (refused, checked), "{filter}");
    }
}

#[test]
fn names_that_are_more_than_a_level_widen_nothing() {
    let policy =
        policy("[[rules]]\neffect = 'allow'\ntopics = ['${user}/#', 'home/${user}/#', 'd/${device}/x']");
    for user in ["+", "#", "a/b", "", "$SYS", "a\0"] {
        let evil = who(user, Some(user), &["user"]);
        for topic in ["home/a/b/c", "home/x", "home//x", "$SYS/x", "a/b", "d//x", "/x"] {
            assert!(!may(&policy, &evil, Action::Publish, topic), "{user:?} {topic}");
        }
        for filter in ["home/+/#", "home/#", "+/#", "$SYS/#", "d/+/x", "home//#"] {
            assert_eq!(asks(&policy, &evil, filter), Verdict::Denied, "{user:?} {filter}");
        }
    }
    let no_device = who("ann", None, &["user"]);
    assert!(!may(&policy, &no_device, Action::Publish, "d//x"));
}

#[test]
fn rules_that_can_not_be_meant_are_refused() {
    let refused = |rule: &str| {
        let config = toml::from_str(&format!("[[rules]]\neffect = 'allow'\n{rule}")).unwrap();
        Policy::new(&config).unwrap_err().reason
    };
    assert!(refused("topics = ['home/x${user}']").contains("whole levels"));
    assert!(refused("topics = ['${users}']").contains("whole levels"));
    assert!(refused("topics = ['a/#/b']").contains("a/#/b"));
    assert!(refused("topics = ['${client}x']").contains("whole levels"));
    assert!(refused("users = ['']\ntopics = ['a']").contains("1 to 128"));
    let users: Vec<_> = (0..1_001).map(|i| format!("'u{i}'")).collect();
    assert!(refused(&format!("users = [{}]\ntopics = ['a']", users.join(","))).contains("use a role"));
    assert!(refused("topics = []").contains("1 to 100"));
    assert!(refused("roles = ['token:x']\ntopics = ['a']").contains("role"));
    let roles: Vec<_> = (0..60).map(|i| format!("'r{i}'")).collect();
    assert!(refused(&format!("roles = [{}]\ntopics = ['a']", roles.join(","))).contains("63 roles"));
    assert!(toml::from_str::<Config>("[[rules]]\neffect='allow'\ntopics=['a']\nrole='x'").is_err());
}

fn level() -> impl Strategy<Value = &'static str> {
    prop::sample::select(vec!["a", "b", "ann", "$s", ""])
}

fn pattern() -> impl Strategy<Value = String> {
    let inner = prop::sample::select(vec!["a", "b", "+", "${user}", "${device}", "$s", ""]);
    (prop::collection::vec(inner, 1..4), any::<bool>()).prop_map(|(levels, rest)| {
        let mut text = levels.join("/");
        if rest {
            text.push_str("/#");
        }
        if text.is_empty() { "#".into() } else { text }
    })
}

fn rules() -> impl Strategy<Value = Vec<RoleRule>> {
    let effect = prop::sample::select(vec![Effect::Allow, Effect::Deny]);
    let roles = prop::sample::select(vec![vec![], vec!["user".to_owned()], vec!["other".to_owned()]]);
    let rule = (effect, roles, prop::collection::vec(pattern(), 1..3)).prop_map(|(effect, roles, topics)| {
        RoleRule { effect, roles, users: vec![], actions: all_actions(), topics }
    });
    prop::collection::vec(rule, 1..6)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2000, failure_persistence: None, ..ProptestConfig::default() })]

    /// What is delivered to a filter's subscriber is what `may` allows for each topic: `Allowed` must
    /// mean all of it, `Denied` where wide filters are checked none of it; for a filter without wildcards the
    /// answer is that of `may`.
    #[test]
    fn a_filter_never_lets_through_what_its_topics_would_not(
        rules in rules(),
        filter in pattern(),
        names in prop::collection::vec(prop::collection::vec(level(), 1..4), 40),
        user in prop::sample::select(vec!["ann", "b", "+", "$s", "a/b", ""]),
    ) {
        let wide = Policy::new(&Config { rules: rules.clone(), wide_filters: WideFilters::Check, ..Config::default() });
        let (policy, wide) = (Policy::new(&Config { rules, ..Config::default() }).unwrap(), wide.unwrap());
        let who = who(user, Some("a"), &["user"]);
        let Ok(filter) = Filter::new(&filter.replace("${user}", "ann").replace("${device}", "a")) else {
            return Ok(());
        };
        let verdict = policy.may_filter(&who, Action::Subscribe, &filter);
        let wide = wide.may_filter(&who, Action::Subscribe, &filter);
        prop_assert_eq!(verdict == Verdict::Allowed, wide == Verdict::Allowed);
        for name in names {
            let Ok(topic) = Topic::new(&name.join("/")) else { continue };
            if filter.matches(&topic) && verdict == Verdict::Allowed {
                prop_assert!(policy.may(&who, Action::Subscribe, &topic), "{filter} {topic}");
            }
            if filter.matches(&topic) && wide == Verdict::Denied {
                prop_assert!(!policy.may(&who, Action::Subscribe, &topic), "{filter} {topic}");
            }
        }
        if let Some(topic) = filter.as_topic() {
            let exact = if policy.may(&who, Action::Subscribe, &topic) { Verdict::Allowed } else { Verdict::Denied };
            prop_assert_eq!(verdict, exact);
            prop_assert_eq!(wide, exact);
        }
    }
}
