//! Ways in without sending an account's password: SCRAM, certificates, and tokens where a password is asked for.

use std::sync::Arc;

use base64::{Engine as _, engine::general_purpose::STANDARD as BASE64};
use ring::{digest, hmac, pbkdf2};
use yizhan_hub::{
    Access as _, Credentials, Peer, Principal, Refused,
    access::{Exchange, Step},
};
use yizhan_identity::{AccountChange, Config, Whom};

use crate::{
    strangers::{SECRET, jwt},
    world::{AtOnce as _, World, cheap, peer, peer_at},
};

fn begin(world: &World, peer: Peer) -> Box<dyn Exchange> {
    world.identity.begin(world.now, peer, "SCRAM-SHA-256", Some("phone".into())).unwrap()
}

fn challenge(world: &World, exchange: &mut dyn Exchange, first: &str) -> Result<String, Refused> {
    match exchange.step(world.now, first.to_owned().into()).at_once()? {
        Step::Challenge(challenge) => Ok(String::from_utf8(challenge.to_vec()).unwrap()),
        Step::Proven { .. } => panic!("nothing is proven yet"),
    }
}

fn sign(key: &[u8], data: &str) -> Vec<u8> {
    hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, key), data.as_bytes()).as_ref().to_vec()
}

/// The client's side: its last message, and what the server must answer.
fn answer(password: &str, bare: &str, challenge: &str) -> (String, String) {
    let field = |name: &str| challenge.split(',').find_map(|f| f.strip_prefix(name)).unwrap();
    let (salt, rounds) = (BASE64.decode(field("s=")).unwrap(), field("i=").parse().unwrap());
    let mut salted = [0; 32];
    pbkdf2::derive(pbkdf2::PBKDF2_HMAC_SHA256, rounds, &salt, password.as_bytes(), &mut salted);
    let client_key = sign(&salted, "Client Key");
    let unproven = format!("c=biws,r={}", field("r="));
    let said = format!("{bare},{challenge},{unproven}");
    let signature = sign(digest::digest(&digest::SHA256, &client_key).as_ref(), &said);
    let proof: Vec<u8> = client_key.iter().zip(signature).map(|(a, b)| a ^ b).collect();
    let server = BASE64.encode(sign(&sign(&salted, "Server Key"), &said));
    (format!("{unproven},p={}", BASE64.encode(proof)), format!("v={server}"))
}

fn prove(world: &World, peer: Peer, user: &str, password: &str) -> Result<Principal, Refused> {
    let mut exchange = begin(world, peer);
    let bare = format!("n={user},r=rOprNGfwEbeRWgbNEkqO");
    let challenge = challenge(world, &mut *exchange, &format!("n,,{bare}"))?;
    let (last, expected) = answer(password, &bare, &challenge);
    match exchange.step(world.now, last.into()).at_once()? {
        Step::Proven { principal, data } => {
            assert_eq!(data, expected, "the server proves itself, too");
            Ok(principal)
        }
        Step::Challenge(_) => panic!("there is nothing more to ask"),
    }
}

#[test]
fn a_proof_lets_in_like_the_password() {
    let world = World::new("");
    let own = world.owner();
    world.add(&own, "ann", &["user", "night"]).unwrap();
    let ann = prove(&world, peer(), "ann", "ann's secret").unwrap();
    assert_eq!((&*ann.user, ann.device.as_deref()), ("ann", Some("phone")));
    assert_eq!(*ann.roles, ["user".into(), "night".into()]);
    assert_eq!(prove(&world, peer(), "ann", "bob's secret").unwrap_err(), Refused::NotAdmitted);
    assert!(!world.store.dump().contains("ann's secret"));
    let me = world.identity.me(&ann).at_once().unwrap();
    assert!(me.devices.iter().any(|device| device.device == "phone"));
    let newer =
        AccountChange { password: Some("newer secret".to_owned().into()), ..AccountChange::default() };
    world.identity.change_account(world.actor(&own), "ann", &newer).at_once().unwrap();
    assert!(prove(&world, peer(), "ann", "ann's secret").is_err());
    assert!(prove(&world, peer(), "ann", "newer secret").is_ok());
}

#[test]
fn who_is_not_there_is_asked_like_who_is() {
    let world = World::new("");
    let own = world.owner();
    world.add(&own, "ann", &["user"]).unwrap();
    let salt_of = |user: &str| {
        let asked = challenge(&world, &mut *begin(&world, peer()), &format!("n,,n={user},r=x")).unwrap();
        asked.split_once(",s=").unwrap().1.to_owned()
    };
    assert_eq!(salt_of("nobody"), salt_of("nobody"), "an account's salt doesn't change either");
    assert_eq!(salt_of("ann"), salt_of("ann"));
    assert!(salt_of("nobody") != salt_of("noone") && salt_of("nobody").len() == salt_of("ann").len());
    assert!(salt_of("nobody").ends_with(",i=4096"), "as many rounds as accounts have");
    let before = salt_of("nobody");
    let again = World::on(world.store.clone(), cheap(Config::default()));
    let asked = challenge(&again, &mut *begin(&again, peer()), "n,,n=nobody,r=x").unwrap();
    assert!(asked.ends_with(&before), "also after a restart");
    assert_eq!(prove(&world, peer(), "nobody", "a secret").unwrap_err(), Refused::NotAdmitted);
    assert_eq!(prove(&world, peer(), &"x".repeat(500), "a secret").unwrap_err(), Refused::NotAdmitted);
}

#[test]
fn bad_proofs_are_counted_like_wrong_passwords() {
    let world = World::new("attempts.free = 3");
    let own = world.owner();
    world.add(&own, "ann", &["user"]).unwrap();
    let early: Vec<_> = (0..8).map(|_| begin(&world, peer_at(9))).collect();
    for _ in 0..4 {
        assert_eq!(prove(&world, peer(), "ann", "wrong").unwrap_err(), Refused::NotAdmitted);
    }
    assert!(matches!(prove(&world, peer(), "ann", "ann's secret"), Err(Refused::TooManyAttempts(_))));
    assert!(matches!(world.password("ann", "ann's secret"), Err(Refused::TooManyAttempts(_))));
    // Those that were begun before the first failure wait all the same.
    for mut exchange in early {
        let step = challenge(&world, &mut *exchange, "n,,n=ann,r=x");
        assert!(matches!(step, Err(Refused::TooManyAttempts(_))));
    }
    let audit = world.identity.audit(None, Some("ann"), 10).at_once().unwrap();
    assert!(
        audit.iter().filter(|entry| serde_json::to_string(&entry.what).unwrap().contains("login.")).count()
            >= 4
    );
}

#[test]
fn a_bad_proof_and_nonsense_end_an_exchange() {
    let world = World::new("attempts.free = 1000");
    let own = world.owner();
    world.add(&own, "ann", &["user"]).unwrap();
    let mut exchange = begin(&world, peer());
    let asked = challenge(&world, &mut *exchange, "n,,n=ann,r=x").unwrap();
    assert!(exchange.step(world.now, "c=biws,r=x,p=AAAA".into()).at_once().is_err());
    let (last, _) = answer("ann's secret", "n=ann,r=x", &asked);
    assert_eq!(exchange.step(world.now, last.into()).at_once().unwrap_err(), Refused::NotAdmitted);
    for nonsense in
        [&b""[..], b"\xff\xff", b"n,,", b"p=tls-exporter,,n=ann,r=x", b"y,a=root,n=ann,r=x", &[b'n'; 10_000]]
    {
        let step = begin(&world, peer()).step(world.now, nonsense.to_vec().into()).at_once();
        assert_eq!(step.unwrap_err(), Refused::NotAdmitted, "{nonsense:?}");
    }
    assert!(prove(&world, peer(), "ann", "ann's secret").is_ok());
}

#[test]
fn who_is_shut_out_in_the_middle_is_out() {
    let world = World::new("");
    let own = world.owner();
    world.add(&own, "ann", &["user"]).unwrap();
    let mut exchange = begin(&world, peer());
    let asked = challenge(&world, &mut *exchange, "n,,n=ann,r=x").unwrap();
    let disable = AccountChange { disabled: Some(true), ..AccountChange::default() };
    world.identity.change_account(world.actor(&own), "ann", &disable).at_once().unwrap();
    let (last, _) = answer("ann's secret", "n=ann,r=x", &asked);
    assert_eq!(exchange.step(world.now, last.into()).at_once().unwrap_err(), Refused::NotAdmitted);
}

#[test]
fn scram_can_be_off_and_comes_back_with_the_next_password() {
    let world = World::new("");
    let off = Config { scram_iterations: 0, ..cheap(Config::default()) };
    world.identity.reload(off.clone()).unwrap();
    let own = world.owner();
    world.add(&own, "ann", &["user"]).unwrap();
    assert!(world.identity.begin(world.now, peer(), "SCRAM-SHA-256", None).is_none());
    assert!(!world.store.dump().contains("SCRAM-SHA-256$"));
    world.identity.reload(cheap(Config::default())).unwrap();
    assert!(world.identity.begin(world.now, peer(), "SCRAM-SHA-1", None).is_none());
    assert!(world.identity.begin(world.now, peer(), "SCRAM-SHA-256-PLUS", None).is_none());
    assert!(prove(&world, peer(), "ann", "ann's secret").is_err(), "there is nothing to check a proof with");
    world.password("ann", "ann's secret").unwrap();
    assert!(prove(&world, peer(), "ann", "ann's secret").is_ok(), "a good password has left it behind");
    world.identity.reload(Config { scram_iterations: 5000, ..cheap(Config::default()) }).unwrap();
    world.password("ann", "ann's secret").unwrap();
    assert!(world.store.dump().contains("SCRAM-SHA-256$5000:"));
    world.identity.reload(off).unwrap();
    world.password("ann", "ann's secret").unwrap();
    assert!(!world.store.dump().contains("SCRAM-SHA-256$5000:"), "what is not wanted is not kept");
}

#[test]
fn a_ban_holds_also_for_who_proves_himself() {
    let world = World::new("");
    let own = world.owner();
    world.add(&own, "ann", &["user"]).unwrap();
    world.ban(&own, "user:ann", None).unwrap();
    assert!(matches!(prove(&world, peer(), "ann", "ann's secret"), Err(Refused::Banned(_))));
    assert!(world.identity.unban(world.actor(&own), &"user:ann".parse::<Whom>().unwrap()).at_once().is_ok());
    assert!(prove(&world, peer(), "ann", "ann's secret").is_ok());
}

fn certificate(world: &World, user: &str) -> Result<Principal, Refused> {
    world.admit(Credentials::Certificate { user: user.into() })
}

#[test]
fn a_certificate_is_good_for_the_account_that_it_names() {
    let world = World::new("");
    let own = world.owner();
    world.add(&own, "ann", &["night"]).unwrap();
    assert_eq!(*certificate(&world, "ann").unwrap().roles, [Arc::from("night")]);
    for nobody in ["bob", "", "a/b", "$local", "anonymous", "guest:x", "+"] {
        assert_eq!(certificate(&world, nobody).unwrap_err(), Refused::NotAdmitted, "{nobody:?}");
    }
    let disable = AccountChange { disabled: Some(true), ..AccountChange::default() };
    world.identity.change_account(world.actor(&own), "ann", &disable).at_once().unwrap();
    assert!(certificate(&world, "ann").is_err());
    world.identity.reload(cheap(toml::from_str("certificates = 'any'").unwrap())).unwrap();
    assert!(certificate(&world, "ann").is_err(), "who is shut out stays out");
    let bob = certificate(&world, "bob").unwrap();
    assert_eq!(&*bob.roles[0], "user");
    assert!(!world.identity.me(&bob).at_once().unwrap().account);
    for nobody in ["", "a/b", "$local", "anonymous", "guest:x", "+"] {
        assert!(certificate(&world, nobody).is_err(), "{nobody:?}");
    }
    assert!(world.admit(Credentials::Proven).is_err(), "only the hub knows who was proven");
}

#[test]
fn a_token_is_taken_where_a_password_is_asked_for() {
    let world = World::new(&format!("jwt.secret = '{SECRET}'"));
    let own = world.owner();
    world.add(&own, "ann", &["user"]).unwrap();
    let token = world.login("ann").unwrap().token.into_inner();
    let zoe = jwt(r#"{"sub":"zoe","exp":1700001000}"#);
    for user in ["", "token", "jwt"] {
        assert_eq!(&*world.password(user, &token).unwrap().user, "ann", "{user}");
        assert_eq!(&*world.password(user, &zoe).unwrap().user, "zoe", "{user}");
    }
    assert!(world.password("ann", &token).is_ok() && world.password("zoe", &zoe).is_ok());
    assert_eq!(world.password("bob", &token).unwrap_err(), Refused::NotAdmitted, "it is not his");
    assert_eq!(world.password("ann", &zoe).unwrap_err(), Refused::NotAdmitted);
    assert!(world.password("ann", "ann's secret").is_ok(), "a password is still one");
    let old = jwt(r#"{"sub":"zoe","exp":1600000000}"#);
    assert_eq!(world.password("zoe", &old).unwrap_err(), Refused::TokenExpired);
    let local = world.identity.make_local_token();
    assert!(world.password("token", local.reveal()).is_err(), "that is for this machine only");
}

#[test]
fn wrong_tokens_in_place_of_passwords_are_counted() {
    let world = World::new(&format!("jwt.secret = '{SECRET}'\nattempts.free = 3"));
    let own = world.owner();
    world.add(&own, "ann", &["user"]).unwrap();
    let token = world.login("ann").unwrap().token.into_inner();
    let old = jwt(r#"{"sub":"zoe","exp":1600000000}"#);
    for _ in 0..10 {
        assert_eq!(world.password("zoe", &old).unwrap_err(), Refused::TokenExpired, "no attempt to guess");
    }
    let wrong = format!("{}{}", &token[..token.len() - 1], if token.ends_with('x') { 'y' } else { 'x' });
    for _ in 0..4 {
        assert_eq!(world.password("token", &wrong).unwrap_err(), Refused::NotAdmitted);
    }
    assert!(matches!(world.password("token", &token), Err(Refused::TooManyAttempts(_))));
    let from_elsewhere = Credentials::Password { user: "token".into(), password: token.into() };
    let admitted = world.identity.admit(world.now, peer_at(7), from_elsewhere, None).at_once();
    assert!(admitted.is_ok(), "strangers can't shut 'token' out");
    let forged = format!("{}AAAA", &zoe()[..zoe().len() - 4]);
    let by = |last: u8| {
        let credentials = Credentials::Password { user: "zoe".into(), password: forged.as_str().into() };
        world.identity.admit(world.now, peer_at(last), credentials, None).at_once().unwrap_err()
    };
    for _ in 0..4 {
        assert!(matches!(by(8), Refused::BadToken(_)));
    }
    assert!(matches!(by(8), Refused::TooManyAttempts(_)));
}

fn zoe() -> String {
    jwt(r#"{"sub":"zoe","exp":1700001000}"#)
}
