//! Who is kept out, for how long, and who may say so.

use yizhan_hub::{Access as _, Credentials, Peer, Principal, Refused};
use yizhan_identity::{Config, Failure, Invitation, NewBan, What, Whom};

use crate::world::{AtOnce as _, World, cheap, peer, peer_at};

fn ann(world: &World, from: Peer, device: &str) -> Result<Principal, Refused> {
    let credentials = Credentials::Password { user: "ann".into(), password: "ann's secret".into() };
    world.identity.admit(world.now, from, credentials, Some(device.into())).at_once()
}

fn is_banned(result: Result<Principal, Refused>) -> bool {
    match result {
        Ok(_) => false,
        Err(Refused::Banned(_)) => true,
        Err(other) => panic!("{other:?}"),
    }
}

fn unban(world: &World, by: &Principal, whom: &str) -> Result<(), Failure> {
    world.identity.unban(world.actor(by), &whom.parse().unwrap()).at_once()
}

#[test]
fn bans_keep_out_users_devices_clients_and_addresses() {
    let world = World::new("anonymous = 'open'");
    let own = world.owner();
    world.add(&own, "ann", &["user"]).unwrap();
    for (ban, elsewhere) in [
        ("user:ann", None),
        ("device:phone", Some((peer(), "tablet"))),
        ("client:ann/phone", Some((peer(), "tablet"))),
        ("address:10.0.0.8", Some((peer_at(9), "phone"))),
        ("address:10.0.0.8/30", Some((peer_at(12), "phone"))),
        ("address:::ffff:10.0.0.8/125", Some((peer_at(16), "phone"))),
    ] {
        world.ban(&own, ban, None).unwrap_or_else(|failure| panic!("{ban}: {failure}"));
        assert!(is_banned(ann(&world, peer_at(8), "phone")), "{ban}");
        if let Some((from, device)) = elsewhere {
            assert!(!is_banned(ann(&world, from, device)), "{ban}");
        }
        unban(&world, &own, ban).unwrap();
        assert!(!is_banned(ann(&world, peer_at(8), "phone")), "{ban}");
        assert_eq!(unban(&world, &own, ban), Err(Failure::NotFound("ban")));
    }
    world.ban(&own, "client:ann/phone", None).unwrap();
    let anonymous = world.identity.admit(world.now, peer(), Credentials::None, Some("phone".into()));
    assert!(!is_banned(anonymous.at_once()), "somebody else's phone is another one");
}

#[test]
fn the_client_hears_the_reason_and_nobody_hears_it_before_the_password_is_right() {
    let world = World::new("");
    let own = world.owner();
    world.add(&own, "ann", &["user"]).unwrap();
    world.ban(&own, "user:ann", None).unwrap();
    assert_eq!(world.password("ann", "wrong").unwrap_err(), Refused::NotAdmitted);
    let Err(Refused::Banned(reason)) = world.password("ann", "ann's secret") else { panic!("not banned") };
    assert_eq!(&*reason, "because");
    assert_eq!(Refused::Banned(reason).code(), 206);
}

#[test]
fn who_is_banned_can_not_sign_in_at_the_console_either() {
    let world = World::new("");
    let own = world.owner();
    world.add(&own, "ann", &["user"]).unwrap();
    let token = world.login("ann").unwrap().token.into_inner();
    let invitation = Invitation { user: "ann".into(), roles: None, expires_in: None };
    let (link, _) = world.identity.invite(world.actor(&own), &invitation).at_once().unwrap();
    for ban in ["user:ann", "device:laptop"] {
        world.ban(&own, ban, None).unwrap();
        assert_eq!(world.login("ann").unwrap_err().code(), 206, "{ban}");
        unban(&world, &own, ban).unwrap();
    }
    world.ban(&own, "user:ann", None).unwrap();
    assert_eq!(world.token(&token).unwrap_err().code(), 206);
    assert_eq!(world.follow(link.reveal(), None, None).unwrap_err().code(), 206);
}

#[test]
fn a_ban_ends_connections_of_those_whom_it_means() {
    let world = World::new("");
    let own = world.owner();
    for user in ["ann", "bob"] {
        world.add(&own, user, &["user"]).unwrap();
    }
    let here = ann(&world, peer(), "phone").unwrap();
    let bob = world.password("bob", "bob's secret").unwrap();
    let banned = |whom: &str| {
        world.revoked.lock().clear();
        world.ban(&own, whom, None).unwrap();
        let [revoked] = &world.revoked.lock()[..] else { panic!("it is told once") };
        assert_eq!(revoked.close().code, 4030);
        let address = |text: &str| revoked.concerns_address(text.parse().unwrap());
        (revoked.concerns(&here), revoked.concerns(&bob), address("10.9.0.1"), address("127.0.0.1"))
    };
    assert_eq!(banned("user:ann"), (true, false, false, false));
    assert_eq!(banned("device:phone"), (true, false, false, false));
    assert_eq!(banned("client:ann/phone"), (true, false, false, false));
    assert_eq!(banned("client:bob/phone"), (false, false, false, false));
    assert_eq!(banned("address:10.9.0.0/16"), (false, false, true, false));
}

#[test]
fn bans_are_kept_listed_and_end_by_themselves() {
    let mut world = World::new("");
    let own = world.owner();
    world.add(&own, "ann", &["user"]).unwrap();
    world.ban(&own, "user:ann", Some(60)).unwrap();
    world.ban(&own, "address:192.0.2.0/24", None).unwrap();
    let list = |world: &World, after: Option<&str>, most| {
        let bans = world.identity.bans(world.actor(&own), after, most).unwrap();
        bans.into_iter().map(|ban| ban.whom.to_string()).collect::<Vec<_>>()
    };
    assert_eq!(list(&world, None, 10), ["address:192.0.2.0/24", "user:ann"]);
    assert_eq!(list(&world, None, 1), ["address:192.0.2.0/24"]);
    assert_eq!(list(&world, Some("address:192.0.2.0/24"), 10), ["user:ann"]);
    let mut again = World::on(world.store.clone(), cheap(Config::default()));
    assert!(is_banned(ann(&again, peer(), "phone")), "a restart ends no ban");
    assert_eq!(again.identity.bans(world.actor(&own), None, 10).unwrap()[1].by, "own");
    again.wait(60);
    assert!(!is_banned(ann(&again, peer(), "phone")));
    world.wait(60);
    assert_eq!(list(&world, None, 10), ["address:192.0.2.0/24"]);
    assert_eq!(unban(&world, &own, "user:ann"), Err(Failure::NotFound("ban")), "it is over");
    world.ban(&own, "user:ann", Some(60)).unwrap();
    world.wait(60);
    assert!(world.store.dump().contains("user:ann={"));
    world.identity.sweep(world.now.wall).at_once().unwrap();
    assert!(!world.store.dump().contains("user:ann={"), "what is over is cleared away");
}

#[test]
fn only_who_may_bans_and_nobody_bans_himself() {
    let world = World::new("");
    let own = world.owner();
    world.add(&own, "ann", &["user"]).unwrap();
    world.add(&own, "adm", &["admin"]).unwrap();
    let (user, admin) = (world.logged_in("ann"), world.logged_in("adm"));
    assert_eq!(world.ban(&user, "user:adm", None).unwrap_err().code(), 210);
    assert_eq!(world.identity.bans(world.actor(&user), None, 10).unwrap_err().code(), 210);
    assert_eq!(unban(&world, &user, "user:adm").unwrap_err().code(), 210);
    assert_eq!(world.ban(&admin, "user:own", None).unwrap_err().code(), 210, "owners are for owners");
    assert_eq!(world.ban(&admin, "client:own/phone", None).unwrap_err().code(), 210);
    for own_ban in ["user:adm", "address:10.0.0.0/8", "address:0.0.0.0/0"] {
        assert_eq!(world.ban(&admin, own_ban, None).unwrap_err().code(), 210, "{own_ban}");
    }
    assert!(world.ban(&admin, "user:ann", Some(60)).is_ok());
    assert!(world.ban(&own, "user:adm", None).is_ok());
    let bad = |reason: &str, expires_in| {
        let new = NewBan { whom: "user:zoe".parse().unwrap(), reason: Some(reason.into()), expires_in };
        world.identity.ban(world.actor(&own), &new).at_once().unwrap_err().code()
    };
    assert_eq!((bad("a\nb", None), bad(&"x".repeat(201), None), bad("", Some(0))), (104, 104, 104));
    let audit = world.identity.audit(None, Some("user:ann"), 10).at_once().unwrap();
    assert_eq!((audit[0].what, audit[0].who.as_str()), (What::BanCreate, "adm"));
}

#[test]
fn tools_on_this_machine_are_never_shut_out() {
    let world = World::new("");
    let own = world.owner();
    let token = world.identity.make_local_token();
    world.ban(&own, "address:127.0.0.0/8", None).unwrap();
    let here = Peer { address: [127, 0, 0, 1].into(), ..peer() };
    let local = world.identity.admit(world.now, here, Credentials::Token(token.into_inner().into()), None);
    let local = local.at_once().unwrap();
    assert_eq!(unban(&world, &local, "address:127.0.0.0/8"), Ok(()));
}

const FLAPPING: &str = "flapping.enabled = true\nflapping.connects_max = 3\nanonymous = 'open'";

#[test]
fn who_comes_and_goes_too_often_waits_a_while() {
    let mut world = World::new(FLAPPING);
    let own = world.owner();
    world.add(&own, "ann", &["user"]).unwrap();
    for _ in 0..4 {
        let here = ann(&world, peer(), "phone").unwrap();
        world.wait(1);
        world.identity.left(world.now, peer(), &here);
    }
    assert!(is_banned(ann(&world, peer(), "phone")));
    assert!(!is_banned(ann(&world, peer(), "tablet")), "another client of the same user");
    let bans = world.identity.bans(world.actor(&own), None, 10).unwrap();
    assert_eq!((bans[0].whom.to_string().as_str(), bans[0].by.as_str()), ("client:ann/phone", "$server"));
    let audit = world.identity.audit(None, Some("client:ann/phone"), 10).at_once().unwrap();
    assert_eq!((audit.len(), audit[0].what, audit[0].who.as_str()), (1, What::BanCreate, "$server"));
    assert!(!world.store.dump().contains("client:ann/phone={"), "what passes by itself costs no disk");
    world.wait(300);
    assert!(!is_banned(ann(&world, peer(), "phone")));
}

#[test]
fn an_operator_may_end_such_a_ban_and_his_own_stay() {
    let world = World::new(FLAPPING);
    let own = world.owner();
    world.add(&own, "ann", &["user"]).unwrap();
    let flap = || {
        for _ in 0..4 {
            let who = ann(&world, peer(), "tablet").unwrap();
            let who = Principal { device: Some("phone".into()), ..who };
            world.identity.left(world.now, peer(), &who);
        }
    };
    flap();
    assert!(is_banned(ann(&world, peer(), "phone")));
    unban(&world, &own, "client:ann/phone").unwrap();
    assert!(!is_banned(ann(&world, peer(), "phone")));
    world.ban(&own, "client:ann/phone", None).unwrap();
    flap();
    assert_eq!(world.identity.bans(world.actor(&own), None, 10).unwrap()[0].by, "own");
}

#[test]
fn without_flapping_in_the_config_nobody_is_counted_and_operators_never_are() {
    let world = World::new("");
    let own = world.owner();
    world.add(&own, "ann", &["user"]).unwrap();
    let leave = |who: &Principal| (0..100).for_each(|_| world.identity.left(world.now, peer(), who));
    let here = ann(&world, peer(), "phone").unwrap();
    leave(&here);
    assert!(!is_banned(ann(&world, peer(), "phone")));
    world.identity.reload(cheap(toml::from_str(FLAPPING).unwrap())).unwrap();
    leave(&Principal { device: Some("laptop".into()), ..own.clone() });
    leave(&Principal { device: None, ..here });
    assert!(world.identity.bans(world.actor(&own), None, 10).unwrap().is_empty());
}

#[test]
fn whom_a_ban_is_for_is_read_from_json() {
    let new: NewBan = serde_json::from_str(r#"{"whom":"client:ann/a/b","expires_in":60}"#).unwrap();
    assert_eq!(new.whom, Whom::Client { user: "ann".into(), device: "a/b".into() });
    for bad in [
        r#"{"whom":"ann"}"#,
        r#"{"whom":"address:10.0.0.0/99"}"#,
        r#"{"whom":"user:ann","forever":true}"#,
        "{}",
    ] {
        assert!(serde_json::from_str::<NewBan>(bad).is_err(), "{bad}");
    }
}
