//! Those without an account: anonymous clients, guests, and users of other systems.

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD as BASE64};
use ring::{
    hmac,
    signature::{Ed25519KeyPair, KeyPair as _},
};
use yizhan_hub::{Access as _, Action, Credentials, Principal, Refused, Topic};
use yizhan_identity::{AccountChange, Config, Failure, NewToken};

use crate::world::{AtOnce as _, World};

pub(crate) const SECRET: &str = "0123456789abcdef0123456789abcdef";

pub(crate) fn jwt(claims: &str) -> String {
    let signed = format!("{}.{}", BASE64.encode(r#"{"alg":"HS256"}"#), BASE64.encode(claims));
    let signature = hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, SECRET.as_bytes()), signed.as_bytes());
    format!("{signed}.{}", BASE64.encode(signature))
}

fn may(world: &World, who: &Principal, action: Action, topic: &str) -> bool {
    world.identity.may(who, action, &Topic::new(topic).unwrap())
}

#[test]
fn strangers_come_in_only_where_the_config_says() {
    let world = World::new("");
    assert_eq!(world.admit(Credentials::None).unwrap_err(), Refused::NotAdmitted);
    assert_eq!(world.password("ann", "").unwrap_err(), Refused::NotAdmitted);
    let world = World::new("anonymous = 'read'\nguests = 'open'");
    let anonymous = world.admit(Credentials::None).unwrap();
    assert_eq!(&*anonymous.user, "anonymous");
    assert_eq!(anonymous.rates.messages_per_second, Some(50));
    assert!(
        may(&world, &anonymous, Action::Subscribe, "a") && !may(&world, &anonymous, Action::Publish, "a")
    );
    let guest = world.password("ann", "").unwrap();
    assert_eq!(&*guest.user, "guest:ann");
    assert!(may(&world, &guest, Action::Publish, "a") && !may(&world, &guest, Action::Publish, "$SYS/a"));
    for bad in ["", "a/b", "+", "guest:x", "anonymous"] {
        assert!(world.password(bad, "").is_err(), "{bad:?}");
    }
    assert!(world.password("ann", "a password").is_err(), "whoever gives a password means an account");
}

#[test]
fn in_dev_strangers_are_not_slowed_down() {
    let world = World::on(std::sync::Arc::default(), Config::dev());
    let anonymous = world.admit(Credentials::None).unwrap();
    assert_eq!(anonymous.rates, yizhan_hub::access::Rates::default());
    assert!(may(&world, &anonymous, Action::Publish, "a"));
}

#[test]
fn a_ticket_brings_a_stranger_back_as_a_stranger() {
    let world = World::new("anonymous = 'open'");
    let anonymous = world.admit_on(Credentials::None, Some("phone")).unwrap();
    let ticket = world.identity.ticket(world.now, &anonymous).at_once().unwrap();
    let again = world.admit(Credentials::Ticket(ticket.into_inner().into())).unwrap();
    assert_eq!((&*again.user, again.device.as_deref()), ("anonymous", Some("phone")));
}

#[test]
fn a_jwt_is_taken_where_a_key_is_known() {
    let good = jwt(r#"{"sub":"zoe","exp":1700001000}"#);
    assert!(matches!(World::new("").token(&good), Err(Refused::BadToken(_))));
    let mut world = World::new(&format!("jwt.secret = '{SECRET}'"));
    let zoe = world.token(&good).unwrap();
    assert_eq!(&*zoe.user, "zoe");
    assert_eq!(zoe.expires_at.unwrap().as_millis(), 1_700_001_060_000);
    assert!(may(&world, &zoe, Action::Publish, "a"));
    assert!(matches!(world.token(&good[..good.len() - 2]), Err(Refused::BadToken(_))));
    for nonsense in ["", "x", "yz_", "yz_short", &"x".repeat(100_000)] {
        assert!(world.token(nonsense).is_err());
    }
    world.wait(1060);
    assert_eq!(world.token(&good).unwrap_err(), Refused::TokenExpired);
}

#[test]
fn another_systems_user_is_not_the_account_of_the_same_name() {
    let world = World::new(&format!("jwt.secret = '{SECRET}'\njwt.roles_claim = 'roles'"));
    let own = world.owner();
    let twin = world.token(&jwt(r#"{"sub":"own","exp":1700001000,"roles":["owner","user"]}"#)).unwrap();
    assert_eq!(&*twin.user, "own");
    assert!(!yizhan_identity::administers(&twin));
    let by = world.actor(&twin);
    let new = NewToken { name: "x".into(), expires_in: None, rules: None, user: None };
    assert!(matches!(world.identity.create_token(by, &new).at_once(), Err(Failure::NotAllowed(_))));
    assert!(matches!(world.identity.tokens(by, None).at_once(), Err(Failure::NotAllowed(_))));
    let change = world.identity.change_password(by, Some("owner's secret"), "another secret").at_once();
    assert!(matches!(change, Err(Failure::NotAllowed(_))));
    let me = world.identity.me(&twin).at_once().unwrap();
    assert!(!me.account && !me.admin && me.roles == ["user"]);
    // And a ticket does not make the one into the other.
    let ticket = world.identity.ticket(world.now, &twin).at_once().unwrap();
    let again = world.admit(Credentials::Ticket(ticket.into_inner().into())).unwrap();
    assert!(!yizhan_identity::administers(&again));
    // But who is shut out here is shut out.
    world.add(&own, "zoe", &["user"]).unwrap();
    let off = AccountChange { disabled: Some(true), ..AccountChange::default() };
    world.identity.change_account(world.actor(&own), "zoe", &off).at_once().unwrap();
    assert_eq!(world.token(&jwt(r#"{"sub":"zoe","exp":1700001000}"#)).unwrap_err(), Refused::NotAdmitted);
}

#[test]
fn unknown_keys_are_asked_for_at_most_once_a_minute() {
    let mut world = World::new("jwt.jwks_url = 'https://id.example.org/keys'");
    let pair = Ed25519KeyPair::from_seed_unchecked(&[1; 32]).unwrap();
    let head = BASE64.encode(r#"{"alg":"EdDSA","kid":"k1"}"#);
    let signed = format!("{head}.{}", BASE64.encode(r#"{"sub":"zoe","exp":1700001000}"#));
    let token = format!("{signed}.{}", BASE64.encode(pair.sign(signed.as_bytes())));
    for _ in 0..5 {
        assert!(matches!(world.token(&token), Err(Refused::BadToken(_))));
    }
    assert_eq!(*world.keys_wanted.lock(), 1);
    world.wait(60);
    assert!(world.token(&token).is_err());
    assert_eq!(*world.keys_wanted.lock(), 2);
    let x = BASE64.encode(pair.public_key());
    let keys = format!(r#"{{"keys":[{{"kty":"OKP","crv":"Ed25519","kid":"k1","x":"{x}"}}]}}"#);
    assert_eq!(world.identity.set_keys(&keys), Ok(1));
    assert!(world.identity.set_keys("{}").is_err(), "bad keys leave the good ones in force");
    assert_eq!(&*world.token(&token).unwrap().user, "zoe");
}

#[test]
fn tools_on_this_machine_come_in_with_the_servers_own_token() {
    let world = World::new("");
    world.owner();
    let old = world.identity.make_local_token();
    let token = world.identity.make_local_token();
    let from = |address: [u8; 4], text: &str| {
        let peer = yizhan_hub::Peer { address: address.into(), door: "http", secure: false };
        world.identity.admit(world.now, peer, Credentials::Token(text.into()), None).at_once()
    };
    let local = from([127, 0, 0, 1], token.reveal()).unwrap();
    assert!(yizhan_identity::administers(&local) && &*local.user == "$local");
    assert!(from([10, 0, 0, 1], token.reveal()).is_err(), "not from elsewhere");
    assert!(from([127, 0, 0, 1], old.reveal()).is_err(), "not the one before");
    assert!(world.identity.accounts(world.actor(&local), None, 10).at_once().is_ok());
    let new = NewToken { name: "x".into(), expires_in: None, rules: None, user: None };
    assert!(world.identity.create_token(world.actor(&local), &new).at_once().is_err(), "it is no account");
    assert!(!world.store.dump().contains(token.reveal()));
}
