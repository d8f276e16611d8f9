//! SCRAM by the examples of its standard, and with clients that lie.

use super::*;

const SALT: &str = "W22ZaJ0SNY7soEsUEjb6gQ==";
const SERVER_NONCE: &str = "%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0";
const FIRST: &str = "n,,n=user,r=rOprNGfwEbeRWgbNEkqO";
const LAST: &str = "c=biws,r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,\
                    p=dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ=";

fn verifier() -> Verifier {
    Verifier::with_salt("pencil", 4096, &BASE64.decode(SALT).unwrap()).unwrap()
}

fn pending() -> Pending {
    Opening::read(FIRST.as_bytes()).unwrap().answer_with(verifier(), SERVER_NONCE).1
}

/// What a client with this password answers to a challenge.
fn proof(password: &str, header: &str, bare: &str, challenge: &str) -> String {
    let field = |name: &str| challenge.split(',').find_map(|f| f.strip_prefix(name)).unwrap();
    let (salt, rounds) = (BASE64.decode(field("s=")).unwrap(), field("i=").parse().unwrap());
    let mut salted = [0; KEY_BYTES];
    pbkdf2::derive(pbkdf2::PBKDF2_HMAC_SHA256, rounds, &salt, password.as_bytes(), &mut salted);
    let client_key = hmac(&salted, b"Client Key");
    let unproven = format!("c={},r={}", BASE64.encode(header), field("r="));
    let signature = hmac(&sha256(&client_key), format!("{bare},{challenge},{unproven}").as_bytes());
    let proof: Vec<u8> = client_key.iter().zip(signature).map(|(a, b)| a ^ b).collect();
    format!("{unproven},p={}", BASE64.encode(proof))
}

/// RFC 7677 §3.
#[test]
fn the_standards_example_is_spoken_word_for_word() {
    let opening = Opening::read(FIRST.as_bytes()).unwrap();
    assert_eq!(opening.user, "user");
    let (challenge, pending) = opening.answer_with(verifier(), SERVER_NONCE);
    assert_eq!(challenge, format!("r=rOprNGfwEbeRWgbNEkqO{SERVER_NONCE},s={SALT},i=4096"));
    let answer = pending.check(LAST.as_bytes()).unwrap();
    assert_eq!(answer.as_deref(), Some("v=6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4="));
}

#[test]
fn a_verifier_survives_its_text_and_hides_the_password() {
    let made = Verifier::new("pencil", 4096).unwrap();
    assert!(Verifier::read(&made.text()).unwrap() == made);
    assert_ne!(made.text(), Verifier::new("pencil", 4096).unwrap().text(), "each has a salt of its own");
    assert!(made.text().starts_with("SCRAM-SHA-256$4096:") && !made.text().contains("pencil"));
    let good = made.text();
    for bad in [
        "",
        "SCRAM-SHA-256$",
        &good[..good.len() - 5],
        &good.replace("4096", "0"),
        &good.replace("4096", "99999999"),
    ] {
        assert!(Verifier::read(bad).is_none(), "{bad}");
    }
}

#[test]
fn only_the_right_password_is_admitted() {
    for (header, password, good) in [
        ("n,,", "pencil", true),
        ("y,,", "pencil", true),
        ("n,a=user,", "pencil", true),
        ("n,,", "pencils", false),
    ] {
        let bare = "n=user,r=abc";
        let opening = Opening::read(format!("{header}{bare}").as_bytes()).unwrap();
        let (challenge, pending) = opening.answer(verifier());
        let last = proof(password, header, bare, &challenge);
        assert_eq!(pending.check(last.as_bytes()).unwrap().is_some(), good, "{header} {password}");
        let again = Opening::read(FIRST.as_bytes()).unwrap().answer(verifier()).1;
        assert!(again.check(last.as_bytes()).is_err(), "a message of another exchange is of no use");
    }
    let fake = Verifier::fake(b"secret", "user", 4096);
    let (challenge, pending) = Opening::read(FIRST.as_bytes()).unwrap().answer(fake);
    let last = proof("pencil", "n,,", "n=user,r=rOprNGfwEbeRWgbNEkqO", &challenge);
    assert_eq!(pending.check(last.as_bytes()), Ok(None));
}

#[test]
fn a_name_that_is_not_there_always_has_the_same_salt() {
    let salt = |secret: &[u8], user: &str| Verifier::fake(secret, user, 4096).salt;
    assert_eq!(salt(b"secret", "ann"), salt(b"secret", "ann"));
    assert!(
        salt(b"secret", "ann") != salt(b"secret", "bob") && salt(b"secret", "ann") != salt(b"other", "ann")
    );
    assert_eq!(salt(b"secret", "ann").len(), SALT_BYTES);
}

#[test]
fn passwords_are_compared_as_saslprep_makes_them() {
    let salt = [7; SALT_BYTES];
    let same = |a: &str, b: &str| Verifier::with_salt(a, 1, &salt) == Verifier::with_salt(b, 1, &salt);
    // RFC 4013 §3: a soft hyphen means nothing, a roman nine is two letters.
    assert!(same("I\u{ad}X", "IX") && same("\u{2168}", "IX") && !same("user", "USER"));
    assert!(
        takes("пароль") && !takes("a\u{7}b") && !takes("\u{627}\u{31}"),
        "prohibited, and a bad mix of directions"
    );
    assert!(Verifier::new("a\u{7}b", 4096).is_none());
}

#[test]
fn names_may_have_commas_and_equals_signs() {
    let user = |name: &str| Opening::read(format!("n,,n={name},r=x").as_bytes()).map(|o| o.user);
    assert_eq!(user("a=2Cb=3D").unwrap(), "a,b=");
    for bad in ["", "a=", "a=2c", "a==", "=3"] {
        assert!(user(bad).is_err(), "{bad}");
    }
}

#[test]
fn openings_that_are_none_are_refused() {
    let long = format!("n,,n=user,r={}", "x".repeat(NONCE_BYTES_MAX + 1));
    let longest = format!("n,,n=user,r=x,y={}", "x".repeat(MESSAGE_BYTES_MAX));
    for bad in [
        "",
        "n",
        "n,",
        "n,,",
        "n,,n=user",
        "n,,n=user,r=",
        "n,,r=x,n=user",
        "x,,n=user,r=x",
        "n,b=user,n=user,r=x",
        "p=tls-unique,,n=user,r=x",
        "n,,m=must,n=user,r=x",
        "n,a=root,n=user,r=x",
        "n,,n=user,r=\u{e4}",
        "n,,n=us\0er,r=x",
        "n,,n=user,r=x,",
        "n,,n=user,r=x,=y",
        &long,
        &longest,
    ] {
        assert!(Opening::read(bad.as_bytes()).is_err(), "{bad:?}");
    }
    assert!(Opening::read(b"n,,n=\xff,r=x").is_err());
    assert!(Opening::read(b"n,,n=user,r=x,e=more").is_ok(), "what is not demanded is passed over");
}

#[test]
fn last_messages_that_are_none_are_refused() {
    assert_eq!(
        pending().check(LAST.replace("dHzb", "eHzb").as_bytes()),
        Ok(None),
        "a wrong proof is no fault"
    );
    for bad in [
        String::new(),
        LAST.replace("c=biws", "c=eSws"),
        LAST.replace("c=biws", "c=bi"),
        LAST.replace("%hvY", "%hvX"),
        LAST.replace("r=rOpr", "x=rOpr"),
        LAST.replace(",p=", ",q="),
        LAST.replace("dHzb", "dHz"),
        LAST.replace(",p=", ",p=AAAA,p=A"),
        LAST.replace(",p=", ",junk,p="),
    ] {
        assert!(pending().check(bad.as_bytes()).is_err(), "{bad:?}");
    }
    assert!(pending().check(&[0xff; 10]).is_err() && pending().check(&[b'a'; 5_000]).is_err());
}
