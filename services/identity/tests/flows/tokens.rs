//! Tokens, tickets, devices.

use yizhan_hub::{Access as _, Action, Credentials, Filter, Principal, Refused, Topic, Verdict};
use yizhan_identity::{
    Failure, NewToken,
    rules::{Doing, Effect, Rule},
};

use crate::world::{AtOnce as _, World};

fn personal(name: &str) -> NewToken {
    NewToken { name: name.into(), expires_in: Some(None), rules: None, user: None }
}

fn sensor_rules() -> Vec<Rule> {
    vec![
        Rule { effect: Effect::Deny, actions: vec![Doing::Publish], topics: vec!["sensors/7/secret".into()] },
        Rule { effect: Effect::Allow, actions: vec![Doing::Publish], topics: vec!["sensors/7/#".into()] },
        Rule { effect: Effect::Allow, actions: vec![Doing::Subscribe], topics: vec!["#".into()] },
    ]
}

fn may(world: &World, who: &Principal, action: Action, topic: &str) -> bool {
    world.identity.may(who, action, &Topic::new(topic).unwrap())
}

#[test]
fn a_personal_token_is_its_user_until_it_is_revoked() {
    let mut world = World::new("");
    let own = world.owner();
    let made = world.identity.create_token(world.actor(&own), &personal("script")).at_once().unwrap();
    let text = made.token.reveal().clone();
    assert!(text.starts_with("yz_") && text.len() == 58 && text[3..].starts_with(&made.view.id));
    let who = world.token(&text).unwrap();
    assert!(yizhan_identity::administers(&who) && who.expires_at.is_none());
    assert_eq!(
        world.identity.tokens(world.actor(&who), None).at_once().unwrap().len(),
        2,
        "and the sign-in's"
    );
    // One wrong letter, and letters too few or too many.
    let mut wrong = text.clone();
    wrong.replace_range(57.., if text.ends_with('A') { "B" } else { "A" });
    for bad in [&wrong, &text[..57], &format!("{text}A"), &text.replace("yz_", "yx_")] {
        assert!(world.token(bad).is_err(), "{bad}");
    }
    world.wait(700);
    world.token(&text).unwrap();
    let listed = world.identity.tokens(world.actor(&who), None).at_once().unwrap();
    let listed = listed.iter().find(|token| token.id == made.view.id).unwrap();
    assert_eq!(listed.last_used_at, Some(world.now.wall.as_millis()));
    assert!(listed.current && listed.name == "script");
    world.identity.revoke_token(world.actor(&own), &made.view.id).at_once().unwrap();
    assert_eq!(world.token(&text).unwrap_err(), Refused::NotAdmitted);
    assert!(world.revoked.lock().iter().any(|r| r.concerns(&who) && !r.concerns(&own)));
    let again = world.identity.revoke_token(world.actor(&own), &made.view.id).at_once();
    assert_eq!(again, Err(Failure::NotFound("token")));
}

#[test]
fn tokens_expire_and_are_cleared_away() {
    let mut world = World::new("");
    let own = world.owner();
    let short = NewToken { expires_in: Some(Some(100)), ..personal("short") };
    let made = world.identity.create_token(world.actor(&own), &short).at_once().unwrap();
    let who = world.token(made.token.reveal()).unwrap();
    assert_eq!(who.expires_at.unwrap().as_millis(), world.now.wall.as_millis() + 100_000);
    world.wait(100);
    assert_eq!(world.token(made.token.reveal()).unwrap_err(), Refused::TokenExpired);
    world.identity.sweep(world.now.wall).at_once().unwrap();
    assert_eq!(world.token(made.token.reveal()).unwrap_err(), Refused::NotAdmitted);
    for bad in [0, u64::MAX] {
        let new = NewToken { expires_in: Some(Some(bad)), ..personal("bad") };
        assert_eq!(world.identity.create_token(world.actor(&own), &new).at_once().unwrap_err().code(), 104);
    }
}

#[test]
fn a_tokens_rules_narrow_and_never_widen() {
    let world = World::new("");
    let own = world.owner();
    world.add(&own, "ann", &["user"]).unwrap();
    let ann = world.logged_in("ann");
    let rules = Some(sensor_rules());
    let made = world
        .identity
        .create_token(world.actor(&ann), &NewToken { rules, ..personal("sensor") })
        .at_once()
        .unwrap();
    let sensor = world.token(made.token.reveal()).unwrap();
    assert!(may(&world, &sensor, Action::Publish, "sensors/7/t"));
    assert!(!may(&world, &sensor, Action::Publish, "sensors/7/secret"));
    assert!(!may(&world, &sensor, Action::Publish, "sensors/8"));
    assert!(
        !may(&world, &sensor, Action::Publish, "rooms/a") && may(&world, &ann, Action::Publish, "rooms/a")
    );
    assert!(!may(&world, &sensor, Action::Presence, "sensors/7/t"));
    let asks = |who: &Principal, filter: &str| {
        world.identity.may_filter(who, Action::Subscribe, &Filter::new(filter).unwrap())
    };
    assert_eq!(asks(&sensor, "#"), Verdict::Allowed);
    assert_eq!(asks(&sensor, "$presence/#"), Verdict::Denied);
    // It does not manage anything, either.
    let by = world.actor(&sensor);
    assert_eq!(world.identity.create_token(by, &personal("more")).at_once().unwrap_err().code(), 210);
    assert_eq!(world.identity.revoke_token(by, &made.view.id).at_once().unwrap_err().code(), 303);
    assert_eq!(
        world.identity.change_password(by, Some("ann's secret"), "another one").at_once().unwrap_err().code(),
        210
    );
    // A ticket made by it is just as narrow.
    let ticket = world.identity.ticket(world.now, &sensor).at_once().unwrap();
    let again = world.admit(Credentials::Ticket(ticket.into_inner().into())).unwrap();
    assert!(
        !may(&world, &again, Action::Publish, "rooms/a")
            && may(&world, &again, Action::Publish, "sensors/7/t")
    );
    // Also after a restart, before the token is shown again; and once revoked it allows nothing.
    let restarted = World::on(world.store.clone(), yizhan_identity::Config::default());
    assert!(may(&restarted, &sensor, Action::Publish, "sensors/7/t"));
    world.identity.revoke_token(world.actor(&ann), &made.view.id).at_once().unwrap();
    assert!(!may(&world, &sensor, Action::Publish, "sensors/7/t"));
    assert_eq!(asks(&sensor, "#"), Verdict::Denied);
}

#[test]
fn an_owners_narrow_token_is_no_owner() {
    let world = World::new("");
    let own = world.owner();
    let rules = Some(sensor_rules());
    let made = world
        .identity
        .create_token(world.actor(&own), &NewToken { rules, ..personal("x") })
        .at_once()
        .unwrap();
    let who = world.token(made.token.reveal()).unwrap();
    assert!(!yizhan_identity::administers(&who));
    assert!(!may(&world, &who, Action::Subscribe, "$SYS/metrics"));
    assert_eq!(world.identity.accounts(world.actor(&who), None, 1).at_once().unwrap_err().code(), 210);
    let me = world.identity.me(&who).at_once().unwrap();
    assert!(!me.admin && me.account && me.roles == ["owner"] && me.devices.is_empty());
}

#[test]
fn bad_rules_and_too_many_tokens_are_refused() {
    let world = World::new("");
    let own = world.owner();
    let by = world.actor(&own);
    let with = |topics: &str| {
        let rule = Rule { effect: Effect::Allow, actions: vec![Doing::Publish], topics: vec![topics.into()] };
        NewToken { rules: Some(vec![rule]), ..personal("x") }
    };
    for bad in ["", "a/#/b", "x${user}"] {
        assert_eq!(world.identity.create_token(by, &with(bad)).at_once().unwrap_err().code(), 122, "{bad}");
    }
    for bad in ["", "a\nb", &"x".repeat(129)] {
        assert_eq!(world.identity.create_token(by, &personal(bad)).at_once().unwrap_err().code(), 104);
    }
    for i in 0..100 {
        world.identity.create_token(by, &personal(&format!("t{i}"))).at_once().unwrap();
    }
    assert_eq!(
        world.identity.create_token(by, &personal("more")).at_once().unwrap_err(),
        Failure::TooManyTokens(100)
    );
}

#[test]
fn the_oldest_sign_in_makes_room() {
    let mut world = World::new("");
    let own = world.owner();
    world.add(&own, "ann", &["user"]).unwrap();
    let first = world.login("ann").unwrap();
    for _ in 0..50 {
        world.wait(1);
        world.login("ann").unwrap();
    }
    assert!(world.token(first.token.reveal()).is_err());
    let ann = world.logged_in("ann");
    assert_eq!(world.identity.tokens(world.actor(&ann), None).at_once().unwrap().len(), 50);
}

#[test]
fn signing_out_ends_the_sign_in_and_leaves_personal_tokens() {
    let world = World::new("");
    let own = world.owner();
    let made = world.identity.create_token(world.actor(&own), &personal("script")).at_once().unwrap();
    let script = world.token(made.token.reveal()).unwrap();
    world.identity.logout(world.actor(&script)).at_once().unwrap();
    assert!(world.token(made.token.reveal()).is_ok());
    let signed_in = world
        .identity
        .login(world.now, crate::world::peer(), "own", "owner's secret", None)
        .at_once()
        .unwrap();
    let who = world.token(signed_in.token.reveal()).unwrap();
    world.identity.logout(world.actor(&who)).at_once().unwrap();
    assert!(world.token(signed_in.token.reveal()).is_err());
    assert!(world.revoked.lock().iter().any(|r| r.concerns(&who) && !r.concerns(&script)));
}

#[test]
fn a_ticket_works_once_and_not_for_long() {
    let mut world = World::new("");
    let own = world.owner();
    let ticket = world.identity.ticket(world.now, &own).at_once().unwrap();
    let show = |world: &World, text: &str| world.admit(Credentials::Ticket(text.into()));
    let who = show(&world, ticket.reveal()).unwrap();
    assert_eq!((&who.user, &who.roles, who.expires_at), (&own.user, &own.roles, own.expires_at));
    assert_eq!(show(&world, ticket.reveal()).unwrap_err(), Refused::NotAdmitted);
    let late = world.identity.ticket(world.now, &own).at_once().unwrap();
    world.wait(60);
    assert_eq!(show(&world, late.reveal()).unwrap_err(), Refused::NotAdmitted);
    for bad in ["", "x", &"x".repeat(1_000_000)] {
        assert_eq!(show(&world, bad).unwrap_err(), Refused::NotAdmitted);
    }
    assert!(world.follow(late.reveal(), None, None).is_err(), "a ticket is no link");
}

#[test]
fn devices_are_remembered_and_bounded() {
    let mut world = World::new("");
    let own = world.owner();
    world.add(&own, "ann", &["user"]).unwrap();
    let come = |world: &World, device: &str| {
        let token = world.login("ann").unwrap().token.into_inner();
        world.admit_on(Credentials::Token(token.into()), Some(device))
    };
    let ann = come(&world, "phone").unwrap();
    assert!(come(&world, &"x".repeat(257)).is_err() && come(&world, "").is_err());
    let first = world.now.wall.as_millis();
    world.wait(601);
    come(&world, "phone").unwrap();
    let devices = world.identity.me(&ann).at_once().unwrap().devices;
    assert_eq!(devices.len(), 1);
    assert_eq!((devices[0].first_seen_at, devices[0].last_seen_at), (first, world.now.wall.as_millis()));
    assert_eq!((devices[0].address.as_str(), devices[0].door.as_str()), ("10.0.0.1", "ws"));
    for i in 0..120 {
        world.wait(1);
        come(&world, &format!("d{i}")).unwrap();
    }
    let (_, devices) = world.identity.account(world.actor(&own), "ann").at_once().unwrap();
    assert_eq!(devices.len(), 100);
    assert_eq!(devices[0].device, "d119");
}
