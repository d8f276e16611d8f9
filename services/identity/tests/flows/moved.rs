//! Accounts that come from mosquitto, with the hashes that it made.

use yizhan_identity::{Failure, NewAccount};

use crate::world::{AtOnce as _, World};

/// Made with `mosquitto_passwd` 2.0.11 for the password `correct horse`: as it is by default, with
/// `-H sha512`, and argon2id as mosquitto 2.1 writes it (by the reference implementation, 64 bytes of hash).
const SEVEN: &str = "$7$101$KKZ9R1TjYdSVBopU$jJ8Au+SEwBn1Qkf/WkBsQFEGrDgblNV1KHROJXCK2C3hqGQ7N9/NBzcTJifbkcEl90UHSkOdbLpBVvBpz/8iBQ==";
const SIX: &str = "$6$Cpmfqr92lWPJhsRv$z2nGZ8OUDhC0rfmRcIGftLYY1T09mMoJFtr1JlfFKI2dxulbTT8NOsPT/PxphlohQ+2yXwnW0kcptB/nTZp8PA==";
const ARGON: &str = "$argon2id$v=19$m=64,t=1,p=1$MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWYwMTIzNDU2Nzg5YWJjZGVmMDEyMzQ1Njc4OWFiY2RlZg$GDVia/evqY5sGlJZK/JRxiqHs8kAp48sXZ+8zcg60QBmYIUy3AvkT7OtmB/IKSRDM7GB2CRcLKqZdxHfMId3WQ";

fn bring(world: &World, user: &str, hash: &str) -> Result<(), Failure> {
    let own = world.logged_in_owner();
    let new = NewAccount {
        user: user.into(),
        password: None,
        password_hash: Some(hash.to_owned().into()),
        roles: None,
    };
    world.identity.create_account(world.actor(&own), &new).at_once().map(|_| ())
}

#[test]
fn who_comes_from_mosquitto_keeps_his_password_and_gets_a_better_hash() {
    let world = World::new("");
    for (user, hash) in [("seven", SEVEN), ("six", SIX), ("argon", ARGON)] {
        bring(&world, user, hash).unwrap();
        assert!(world.store.dump().contains(hash));
        assert!(world.password(user, "correct hors").is_err());
        assert!(world.store.dump().contains(hash), "a wrong password changes nothing");
        assert_eq!(&*world.password(user, "correct horse").unwrap().user, user);
        let dump = world.store.dump();
        assert!(!dump.contains(hash) && dump.contains("SCRAM-SHA-256$4096:"), "{user}");
        assert!(
            world.password(user, "correct horse").is_ok() && world.password(user, "correct hors").is_err()
        );
    }
}

#[test]
fn hashes_that_are_none_or_ask_for_too_much_are_refused() {
    let world = World::new("");
    let hash = SEVEN.rsplit_once('$').unwrap().1;
    for bad in [
        "",
        "correct horse",
        "$7$",
        "$1$abc$def",
        "$2y$10$abcdefghijklmnopqrstuv",
        &format!("$7$1000001$AAAA${hash}"),
        "$argon2id$v=19$m=1048576,t=2,p=1$AAAAAAAAAAAAAAAAAAAAAA$CTFhFdXPJO1aFaMaO6Mm5c8y7cJHAph8ArZWb2GRPPc",
        "$argon2id$v=19$m=65536,t=60,p=1$AAAAAAAAAAAAAAAAAAAAAA$CTFhFdXPJO1aFaMaO6Mm5c8y7cJHAph8ArZWb2GRPPc",
        "$argon2id$v=19$m=65536,t=2,p=0$AAAAAAAAAAAAAAAAAAAAAA$CTFhFdXPJO1aFaMaO6Mm5c8y7cJHAph8ArZWb2GRPPc",
    ] {
        assert_eq!(bring(&world, "ann", bad).unwrap_err().code(), 104, "{bad}");
    }
    let own = world.logged_in_owner();
    let both = NewAccount {
        user: "ann".into(),
        password: Some("correct horse".to_owned().into()),
        password_hash: Some(SEVEN.to_owned().into()),
        roles: None,
    };
    assert_eq!(world.identity.create_account(world.actor(&own), &both).at_once().unwrap_err().code(), 104);
}
