//! Owners, accounts, passwords, invitations.

use std::{sync::Arc, time::Duration};

use parking_lot::Mutex;
use yizhan_hub::{Credentials, Refused};
use yizhan_identity::{
    AccountChange, Cause, Config, Failure, Identity, Invitation, Job, NewAccount, Seams, What,
    config::PasswordConfig,
};

use crate::world::{AtOnce as _, World, cheap, peer, peer_at};

fn change(roles: Option<&[&str]>, disabled: Option<bool>) -> AccountChange {
    let roles = roles.map(|roles| roles.iter().map(ToString::to_string).collect());
    AccountChange { roles, disabled, password: None }
}

#[test]
fn the_first_owner_comes_in_by_a_link_that_works_once() {
    let mut world = World::new("");
    let old = world.identity.bootstrap(world.now).at_once().unwrap().unwrap();
    let link = world.identity.bootstrap(world.now).at_once().unwrap().unwrap();
    assert_eq!(
        world.follow(old.reveal(), None, None).unwrap_err().code(),
        201,
        "only the newest link is good"
    );
    assert_eq!(world.follow(link.reveal(), Some("a/b"), None).unwrap_err().code(), 120);
    assert_eq!(world.follow(link.reveal(), None, Some("short")).unwrap_err().code(), 121);
    let signed_in = world.follow(link.reveal(), Some("ann"), None).unwrap();
    assert_eq!((signed_in.user.as_str(), signed_in.has_password), ("ann", false));
    assert_eq!(world.follow(link.reveal(), Some("eve"), None).unwrap_err().code(), 201);
    assert!(world.identity.bootstrap(world.now).at_once().unwrap().is_none());
    let who = world.token(signed_in.token.reveal()).unwrap();
    assert!(yizhan_identity::administers(&who));
    world.wait(12 * 3600);
    assert_eq!(world.token(signed_in.token.reveal()).unwrap_err(), Refused::TokenExpired);
}

#[test]
fn an_owners_link_expires() {
    let mut world = World::new("");
    let link = world.identity.bootstrap(world.now).at_once().unwrap().unwrap();
    world.wait(3600);
    assert_eq!(world.follow(link.reveal(), None, None).unwrap_err().code(), 201);
}

#[test]
fn the_last_owner_stays() {
    let world = World::new("");
    let own = world.owner();
    let actor = world.actor(&own);
    let refused =
        |change: &AccountChange| world.identity.change_account(actor, "own", change).at_once().unwrap_err();
    assert_eq!(refused(&change(Some(&["admin"]), None)), Failure::LastOwner);
    assert_eq!(refused(&change(None, Some(true))), Failure::LastOwner);
    assert_eq!(world.identity.remove_account(actor, "own").at_once(), Err(Failure::LastOwner));
    world.add(&own, "two", &["owner"]).unwrap();
    world.identity.change_account(actor, "two", &change(None, Some(true))).at_once().unwrap();
    assert_eq!(refused(&change(None, Some(true))), Failure::LastOwner, "a disabled owner does not count");
    world.identity.change_account(actor, "two", &change(None, Some(false))).at_once().unwrap();
    world.identity.remove_account(actor, "own").at_once().unwrap();
    // What is kept says the same to the next start.
    let again = World::on(world.store.clone(), cheap(Config::default()));
    assert!(again.identity.has_owner());
    let two = again.logged_in("two");
    assert_eq!(again.identity.remove_account(again.actor(&two), "two").at_once(), Err(Failure::LastOwner));
}

#[test]
fn only_owners_touch_owners_and_only_operators_touch_anybody() {
    let world = World::new("");
    let own = world.owner();
    world.add(&own, "root", &["admin"]).unwrap();
    world.add(&own, "bob", &["user"]).unwrap();
    let (admin, user) = (world.logged_in("root"), world.logged_in("bob"));
    assert_eq!(world.add(&admin, "eve", &["owner"]).unwrap_err().code(), 210);
    world.add(&admin, "eve", &["user"]).unwrap();
    let by = world.actor(&admin);
    let code = |failure: Failure| failure.code();
    let promote = change(Some(&["owner"]), None);
    assert_eq!(world.identity.change_account(by, "root", &promote).at_once().map_err(code).err(), Some(210));
    assert_eq!(
        world.identity.change_account(by, "own", &change(None, Some(true))).at_once().map_err(code).err(),
        Some(210)
    );
    assert_eq!(world.identity.remove_account(by, "own").at_once().map_err(code), Err(210));
    let invite = Invitation { user: "own".into(), roles: None, expires_in: None };
    assert_eq!(world.identity.invite(by, &invite).at_once().map_err(code).err(), Some(210));
    let by = world.actor(&user);
    assert_eq!(world.identity.accounts(by, None, 10).at_once().map_err(code).err(), Some(210));
    assert_eq!(world.add(&user, "zed", &["user"]).unwrap_err().code(), 210);
    assert_eq!(world.identity.remove_account(by, "eve").at_once().map_err(code), Err(210));
    assert_eq!(world.identity.tokens(by, Some("own")).at_once().map_err(code).err(), Some(210));
}

#[test]
fn accounts_are_made_listed_and_removed() {
    let world = World::new("");
    let own = world.owner();
    for user in ["carl", "bob", "小明"] {
        world.add(&own, user, &["user", "night"]).unwrap();
    }
    assert_eq!(world.add(&own, "bob", &["user"]), Err(Failure::Exists));
    assert_eq!(world.add(&own, "x", &["guest"]), Err(Failure::BadRole));
    let names = |after: Option<&str>| {
        let page = world.identity.accounts(world.actor(&own), after, 2).at_once().unwrap();
        page.into_iter().map(|a| a.user).collect::<Vec<_>>()
    };
    assert_eq!(names(None), ["bob", "carl"]);
    assert_eq!(names(Some("carl")), ["own", "小明"]);
    assert_eq!(world.password("bob", "bob's secret").unwrap().roles.len(), 2);
    world.identity.remove_account(world.actor(&own), "bob").at_once().unwrap();
    assert_eq!(world.password("bob", "bob's secret").unwrap_err(), Refused::NotAdmitted);
    assert_eq!(
        world.identity.remove_account(world.actor(&own), "bob").at_once(),
        Err(Failure::NotFound("account"))
    );
}

#[test]
fn wrong_passwords_wait_longer_and_longer() {
    let mut world = World::new("attempts.free = 3");
    let own = world.owner();
    world.add(&own, "ann", &["user"]).unwrap();
    for _ in 0..4 {
        assert_eq!(world.password("ann", "wrong").unwrap_err(), Refused::NotAdmitted);
    }
    let wait = Refused::TooManyAttempts(Duration::from_secs(1));
    assert_eq!(world.password("ann", "ann's secret").unwrap_err(), wait, "also the right one waits");
    assert_eq!(world.password("nobody", "x").unwrap_err(), wait, "the address waits, whatever the name");
    world.wait(2);
    assert!(world.password("ann", "ann's secret").is_ok());
    let events = world.identity.audit(None, Some("ann"), 10).at_once().unwrap();
    let what: Vec<_> = events.iter().map(|entry| entry.what).collect();
    use What::{AccountCreate, LoginBlocked, LoginFailed};
    assert_eq!(what, [LoginBlocked, LoginFailed, LoginFailed, LoginFailed, AccountCreate]);
}

#[test]
fn many_guesses_at_once_do_not_slip_through() {
    let jobs: Arc<Mutex<Vec<Job>>> = Arc::default();
    let queue = jobs.clone();
    let seams = Seams { work: Arc::new(move |job| queue.lock().push(job)), ..Seams::default() };
    let world = World::new("");
    let config = cheap(crate::world::toml_config("attempts.free = 2"));
    let identity = Identity::open(config, &*world.store, seams).at_once().unwrap();
    let attempts: Vec<_> = (0..20)
        .map(|i| {
            use yizhan_hub::Access as _;
            let guess = Credentials::Password { user: "ann".into(), password: format!("{i}").into() };
            let mut admission = identity.admit(world.now, peer_at(i), guess, None);
            assert!(futures_util::FutureExt::now_or_never(&mut admission).is_none(), "it waits for its job");
            admission
        })
        .collect();
    for job in jobs.lock().drain(..) {
        job();
    }
    let refused: Vec<_> = attempts.into_iter().map(|admission| admission.at_once().unwrap_err()).collect();
    let looked_at = refused.iter().filter(|refused| **refused == Refused::NotAdmitted).count();
    assert_eq!(looked_at, 3, "{refused:?}");
}

#[test]
fn a_dropped_job_refuses_and_gives_its_place_back() {
    let seams = Seams { work: Arc::new(drop), ..Seams::default() };
    let world = World::new("");
    let identity = Identity::open(cheap(Config::default()), &*world.store, seams).at_once().unwrap();
    for _ in 0..2_000 {
        let refused = identity.login(world.now, peer(), "ann", "secret", None).at_once().unwrap_err();
        assert_eq!(refused, Failure::Refused(Refused::Stopping));
    }
}

#[test]
fn hashes_follow_the_parameters_at_the_next_sign_in() {
    let world = World::new("");
    let own = world.owner();
    world.add(&own, "ann", &["user"]).unwrap();
    let dearer =
        Config { password: PasswordConfig { memory_kib: 16, passes: 1, lanes: 1 }, ..Config::default() };
    world.identity.reload(dearer).unwrap();
    assert!(!world.store.dump().contains("m=16,"));
    world.password("ann", "ann's secret").unwrap();
    assert!(world.store.dump().contains("m=16,"));
    world.password("ann", "ann's secret").unwrap();
}

#[test]
fn an_invitation_signs_in_once_and_a_password_can_be_set() {
    let mut world = World::new("");
    let own = world.owner();
    let invite = |expires_in| Invitation { user: "bob".into(), roles: Some(vec!["user".into()]), expires_in };
    let (link, until) = world.identity.invite(world.actor(&own), &invite(None)).at_once().unwrap();
    assert_eq!(until, world.now.wall.plus(Duration::from_secs(900)));
    let bob = world.follow(link.reveal(), None, None).unwrap();
    assert_eq!((bob.user.as_str(), bob.has_password), ("bob", false));
    assert!(world.follow(link.reveal(), None, None).is_err());
    assert!(world.password("bob", "").is_err(), "no password is not an empty one");
    let who = world.token(bob.token.reveal()).unwrap();
    world.identity.change_password(world.actor(&who), None, "bob's secret").at_once().unwrap();
    assert!(world.password("bob", "bob's secret").is_ok());
    let (late, _) = world.identity.invite(world.actor(&own), &invite(Some(60))).at_once().unwrap();
    world.wait(60);
    assert!(world.follow(late.reveal(), None, None).is_err());
    assert_eq!(world.identity.invite(world.actor(&own), &invite(Some(1))).at_once().unwrap_err().code(), 104);
    assert!(world.admit(Credentials::Ticket(link.into_inner().into())).is_err(), "a link is no ticket");
}

#[test]
fn changing_the_password_ends_other_sign_ins() {
    let world = World::new("");
    let own = world.owner();
    world.add(&own, "ann", &["user"]).unwrap();
    let (here, there) = (world.login("ann").unwrap(), world.login("ann").unwrap());
    let who = world.token(here.token.reveal()).unwrap();
    let other = world.token(there.token.reveal()).unwrap();
    let change = |old, new| world.identity.change_password(world.actor(&who), old, new).at_once();
    assert_eq!(change(Some("wrong"), "another secret").unwrap_err().code(), 201);
    assert_eq!(change(None, "another secret").unwrap_err().code(), 201);
    assert_eq!(change(Some("ann's secret"), "short").unwrap_err().code(), 121);
    change(Some("ann's secret"), "another secret").unwrap();
    assert!(world.token(here.token.reveal()).is_ok() && world.token(there.token.reveal()).is_err());
    assert!(
        world.password("ann", "ann's secret").is_err() && world.password("ann", "another secret").is_ok()
    );
    let revoked = world.revoked.lock();
    assert!(revoked.iter().any(|r| r.concerns(&other)) && !revoked.iter().any(|r| r.concerns(&who)));
}

#[test]
fn whoever_is_shut_out_is_out_at_once() {
    let world = World::new("");
    let own = world.owner();
    world.add(&own, "ann", &["user"]).unwrap();
    let signed_in = world.login("ann").unwrap();
    let ann = world.token(signed_in.token.reveal()).unwrap();
    let ticket = world.identity.ticket(world.now, &ann).at_once().unwrap();
    world.identity.change_account(world.actor(&own), "ann", &change(None, Some(true))).at_once().unwrap();
    assert_eq!(world.password("ann", "ann's secret").unwrap_err(), Refused::NotAdmitted);
    assert_eq!(world.token(signed_in.token.reveal()).unwrap_err(), Refused::NotAdmitted);
    assert_eq!(
        world.admit(Credentials::Ticket(ticket.into_inner().into())).unwrap_err(),
        Refused::NotAdmitted
    );
    let revoked = world.revoked.lock();
    assert!(revoked.iter().any(|r| r.cause == Cause::Gone && r.concerns(&ann) && !r.concerns(&own)));
    drop(revoked);
    world.identity.change_account(world.actor(&own), "ann", &change(None, Some(false))).at_once().unwrap();
    assert!(world.password("ann", "ann's secret").is_ok());
    assert!(world.token(signed_in.token.reveal()).is_err(), "tokens of before stay revoked");
}

#[test]
fn nothing_that_is_kept_or_shown_gives_a_secret_away() {
    let world = World::new("");
    let own = world.owner();
    world.add(&own, "ann", &["user"]).unwrap();
    let signed_in = world.login("ann").unwrap();
    let who = world.token(signed_in.token.reveal()).unwrap();
    let ticket = world.identity.ticket(world.now, &who).at_once().unwrap();
    assert!(world.password("ann", "mistyped secret").is_err());
    let kept = world.store.dump();
    let new = NewAccount {
        user: "x".into(),
        password: Some("xyzzy-xyzzy".to_owned().into()),
        password_hash: None,
        roles: None,
    };
    let shown = format!("{signed_in:?} {ticket:?} {who:?} {new:?}");
    for secret in
        ["ann's secret", "owner's secret", "mistyped", signed_in.token.reveal(), ticket.reveal(), "xyzzy"]
    {
        assert!(!kept.contains(secret) && !shown.contains(secret), "{secret}");
    }
}

#[test]
fn the_audit_log_is_a_ring() {
    let mut world = World::new("audit_max = 7");
    let own = world.owner();
    for i in 0..20 {
        world.add(&own, &format!("u{i}"), &["user"]).unwrap();
        world.wait(1);
    }
    let ids = |before| {
        let page = world.identity.audit(before, None, 5).at_once().unwrap();
        page.iter().map(|entry| entry.id).collect::<Vec<_>>()
    };
    assert_eq!(ids(None), [21, 20, 19, 18, 17]);
    assert_eq!(ids(Some(17)), [16, 15]);
    assert!(ids(Some(15)).is_empty());
    let again = World::on(world.store.clone(), cheap(crate::world::toml_config("audit_max = 3")));
    let own = again.token(world.login("u3").unwrap().token.reveal()).unwrap();
    again.identity.record(again.actor(&own), What::SessionKick, Some("3f"), None).at_once();
    again.identity.sweep(again.now.wall).at_once().unwrap();
    let left = again.identity.audit(None, None, 10).at_once().unwrap();
    assert_eq!(left.len(), 3);
    assert_eq!((left[0].what, left[0].subject.as_deref()), (What::SessionKick, Some("3f")));
    assert!(again.identity.audit(None, Some("nobody"), 10).at_once().unwrap().is_empty());
}
