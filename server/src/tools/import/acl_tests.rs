//! Rules say what mosquitto says, and what has no rule is named.

use yizhan_hub::{Action, Principal, Topic, Verdict, access::Rates};
use yizhan_identity::{
    Config,
    config::{Entry, WideFilters},
    rules::Policy,
};

use super::*;

/// Asked of mosquitto 2.0.11: see there.
const CASES: &str = include_str!("acl_cases.txt");

fn roles() -> Vec<String> {
    vec!["user".into()]
}

fn policy(acl: &str) -> Policy {
    let translated = translate(acl.as_bytes(), &roles());
    assert_eq!(translated.left_out, [], "{acl}");
    // What goes through a file is what is tried.
    let rules: Vec<RoleRule> = toml::from_str::<Config>(
        &toml::to_string(&Config { rules: translated.rules, ..Config::default() }).unwrap(),
    )
    .unwrap()
    .rules;
    let config =
        Config { rules, anonymous: Entry::Rules, wide_filters: WideFilters::Check, ..Config::default() };
    Policy::new(&config).unwrap()
}

fn who(user: &str, client: &str) -> Principal {
    let (user, role) = if user == "-" { (ANONYMOUS, ANONYMOUS) } else { (user, "user") };
    Principal {
        user: user.into(),
        device: Some(client.into()),
        roles: [role.into()].into(),
        expires_at: None,
        rates: Rates::default(),
    }
}

#[test]
fn rules_say_what_mosquitto_says() {
    let mut count = 0;
    for part in CASES.split("[acl]\n").skip(1) {
        let (acl, cases) = part.split_once("[cases]\n").unwrap();
        let policy = policy(acl);
        for case in cases.lines().filter(|line| !line.is_empty()) {
            let (question, answer) = case.split_once(" -> ").unwrap();
            let [user, client, doing, topic] = question.splitn(4, ' ').collect::<Vec<_>>()[..] else {
                panic!("{case}")
            };
            let action = if doing == "read" { Action::Subscribe } else { Action::Publish };
            let (who, topic) = (who(user, client), Topic::new(topic).unwrap());
            assert_eq!(policy.may(&who, action, &topic), answer == "yes", "{case}");
            // And a subscription to just this topic is taken where there is something to hear.
            if action == Action::Subscribe {
                let verdict = policy.may_filter(&who, action, &Filter::new(topic.as_str()).unwrap());
                assert_eq!(verdict != Verdict::Denied, answer == "yes", "{case}");
            }
            count += 1;
        }
    }
    assert!(count > 60, "all of them were looked at");
}

#[test]
fn a_filter_wider_than_the_rights_is_taken_and_checked_as_mosquitto_does() {
    let policy = policy("user ann\ntopic read home/ann/#\ntopic deny home/ann/diary\ntopic read news");
    let asks = |user: &str, filter: &str| {
        policy.may_filter(&who(user, "c"), Action::Subscribe, &Filter::new(filter).unwrap())
    };
    assert_eq!(asks("ann", "#"), Verdict::Checked);
    assert_eq!(asks("ann", "home/+/diary"), Verdict::Checked, "one of them may not be heard");
    assert_eq!(asks("ann", "home/ann/x/#"), Verdict::Allowed);
    assert_eq!(asks("ann", "home/ann/diary"), Verdict::Denied);
    assert_eq!(asks("ann", "rooms/#"), Verdict::Denied, "there is nothing to hear");
    assert_eq!(asks("bob", "#"), Verdict::Denied);
}

#[test]
fn what_has_no_rule_is_named_by_its_line() {
    let file = b"topic read a/#/b\n\
                 # a comment\n\
                 topic look a\n\
                 topik read a\n\
                 pattern read x-%u/a\n\
                 pattern deny x/%cy\n\
                 topic read ${user}/a\n\
                 topic\n\
                 user\n\
                 topic deny a\n\
                 user $SYS\n\
                 topic read a\n\
                 user anonymous\n\
                 topic read a\n\
                 user ann\r\n\
                 topic deny a+\r\n\
                 topic read \xff\n\
                 topic\tread a\n\
                 topic  read   good \r\n";
    let translated = translate(file, &roles());
    let left_out: Vec<_> = translated.left_out.iter().map(|out| (out.line, out.denies)).collect();
    let expected = [
        (1, false),
        (3, false),
        (4, false),
        (5, false),
        (6, true),
        (7, false),
        (8, false),
        (9, false),
        (10, false),
        (11, false),
        (12, false),
        (13, false),
        (14, false),
        (16, true),
        (17, false),
        (18, false),
    ];
    assert_eq!(left_out, expected);
    assert_eq!(translated.rules.len(), 1);
    assert_eq!((&translated.rules[0].users[0][..], &translated.rules[0].topics[0][..]), ("ann", "good"));
    assert!(translated.left_out[3].reason.contains("whole levels"), "{:?}", translated.left_out[3]);
}

#[test]
fn users_with_the_same_lines_share_their_rules() {
    let mut acl = String::new();
    for i in 0..2_500 {
        acl.push_str(&format!("user sensor-{i}\ntopic write data/all\ntopic read commands/#\n"));
    }
    acl.push_str("user ann\n");
    for i in 0..250 {
        acl.push_str(&format!("topic read area/{i}\n"));
    }
    let translated = translate(acl.as_bytes(), &roles());
    assert_eq!(translated.left_out, []);
    assert_eq!(translated.rules.len(), 3 * 2 + 3);
    let policy = policy(&acl);
    let may =
        |user: &str, action, topic: &str| policy.may(&who(user, "c"), action, &Topic::new(topic).unwrap());
    assert!(
        may("sensor-2499", Action::Publish, "data/all") && may("sensor-0", Action::Subscribe, "commands/x")
    );
    assert!(may("ann", Action::Subscribe, "area/249") && !may("ann", Action::Publish, "data/all"));
    assert!(!may("sensor-2500", Action::Publish, "data/all"));
}

#[test]
fn an_empty_list_lets_nobody_do_anything() {
    for empty in ["", "\n# nothing\n\n"] {
        let policy = policy(empty);
        for user in ["ann", "-"] {
            let topic = Topic::new("a").unwrap();
            assert!(!policy.may(&who(user, "c"), Action::Publish, &topic));
            assert!(!policy.may(&who(user, "c"), Action::Subscribe, &topic));
        }
    }
}
