//! Good tokens, and every kind of bad one.

use ring::{
    rand::SystemRandom,
    signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, Ed25519KeyPair, KeyPair},
};

use super::*;

const SECRET: &str = "0123456789abcdef0123456789abcdef";
const NOW: Timestamp = Timestamp::from_millis(1_700_000_000_000);
/// RFC 7515 §A.2 and §A.3: the same payload, signed with an RSA key and a P-256 key.
const RFC_PAYLOAD: &str =
    "eyJpc3MiOiJqb2UiLA0KICJleHAiOjEzMDA4MTkzODAsDQogImh0dHA6Ly9leGFtcGxlLmNvbS9pc19yb290Ijp0cnVlfQ";
const RFC_NOW: Timestamp = Timestamp::from_millis(1_300_819_000_000);
const RFC_MODULUS: &str = "ofgWCuLjybRlzo0tZWJjNiuSfb4p4fAkd_wWJcyQoTbji9k0l8W26mPddxHmfHQp-Vaw-4qPCJrcS2mJPMEzP1Pt0Bm4d4QlL-yRT-SFd2lZS-pCgNMsD1W_YpRPEwOWvG6b32690r2jZ47soMZo9wGzjb_7OMg0LOL-bSf63kpaSHSXndS5z5rexMdbBYUsLA9e-KXBdQOS-UTo7WTBEMa2R2CapHg665xsmtdVMTBQY4uDZlxvb3qCo5ZwKh9kG4LT6_I5IhlJH7aGhyxXFvUK-DWNmoudF8NAco9_h9iaGNj8q2ethFkMLs91kzk2PAcDTW9gb54h4FRWyuXpoQ";
const RFC_RSA_SIGNATURE: &str = "cC4hiUPoj9Eetdgtv3hF80EGrhuB__dzERat0XF9g2VtQgr9PJbu3XOiZj5RZmh7AAuHIm4Bh-0Qc_lF5YKt_O8W2Fp5jujGbds9uJdbF9CUAr7t1dnZcAcQjbKBYNX4BAynRFdiuB--f_nZLgrnbyTyWzO75vRK5h6xBArLIARNPvkSjtQBMHlb1L07Qe7K0GarZRmB_eSN9383LcOLn6_dO--xi12jzDwusC-eOkHWEsqtFZESc6BfI7noOPqvhJ1phCnvWh6IeYI2w9QOYEUipUTI8np6LbgGY9Fs98rqVt5AXLIhWkWywlVmtVrBp0igcN_IoypGlUPQGe77Rw";
const RFC_EC_SIGNATURE: &str =
    "DtEhU3ljbEg8L38VWAfUAqOyKAM6-Xx-F4GawxaepmXFCgfTjDxw5djxLa8ISlSApmWQxfKTUJqPP3-Kg6NU1Q";

fn rfc_keys() -> String {
    format!(
        r#"{{"keys":[{{"kty":"RSA","kid":"r","use":"sig","n":"{RFC_MODULUS}","e":"AQAB"}},
            {{"kty":"EC","kid":"e","crv":"P-256","x":"f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU",
              "y":"x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0"}},
            {{"kty":"oct","k":"AAAA"}},{{"kty":"EC","crv":"P-521"}},{{"nothing":1}}]}}"#
    )
}

fn config() -> JwtConfig {
    JwtConfig { secret: Some(SECRET.to_owned().into()), ..JwtConfig::default() }
}

fn header(text: &str) -> String {
    BASE64.encode(text)
}

fn signed(secret: &str, header: &str, claims: &str) -> String {
    let signed = format!("{}.{}", BASE64.encode(header), BASE64.encode(claims));
    let key = hmac::Key::new(hmac::HMAC_SHA256, secret.as_bytes());
    let signature = BASE64.encode(hmac::sign(&key, signed.as_bytes()));
    format!("{signed}.{signature}")
}

fn hs256(claims: &str) -> String {
    signed(SECRET, r#"{"alg":"HS256","typ":"JWT"}"#, claims)
}

fn check(config: &JwtConfig, token: &str) -> Result<Claims, Rejected> {
    let key = shared_key(config);
    verify(config, key.iter(), NOW, token)
}

fn reason(config: &JwtConfig, token: &str) -> &'static str {
    match check(config, token) {
        Err(Rejected::Bad(reason)) => reason,
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_good_token_says_who_and_until_when() {
    let claims = check(&config(), &hs256(r#"{"sub":"ann","exp":1700000100.5}"#)).unwrap();
    assert_eq!((claims.user.as_str(), claims.roles.as_slice()), ("ann", &["user".to_owned()][..]));
    assert_eq!(claims.expires_at, Some(Timestamp::from_millis(1_700_000_160_500)));
}

#[test]
fn times_have_a_leeway() {
    let at = |claims: &str| check(&config(), &hs256(claims));
    assert!(at(r#"{"sub":"ann","exp":1699999941}"#).is_ok());
    assert_eq!(at(r#"{"sub":"ann","exp":1699999940}"#), Err(Rejected::Expired));
    assert!(at(r#"{"sub":"ann","exp":1700009999,"nbf":1700000060}"#).is_ok());
    assert_eq!(
        at(r#"{"sub":"ann","exp":1700009999,"nbf":1700000061}"#),
        Err(Rejected::Bad("it is not good yet"))
    );
    assert_eq!(at(r#"{"sub":"ann"}"#), Err(Rejected::Bad("it does not say when it ends")));
    for bad in ["\"soon\"", "-1", "null", "[]"] {
        assert!(at(&format!(r#"{{"sub":"ann","exp":{bad}}}"#)).is_err(), "{bad}");
    }
    assert!(at(r#"{"sub":"ann","exp":1e300}"#).is_ok(), "the end of time");
    let forever = JwtConfig { require_expiry: false, ..config() };
    assert_eq!(check(&forever, &hs256(r#"{"sub":"ann"}"#)).unwrap().expires_at, None);
}

#[test]
fn the_issuer_and_the_audience_must_be_ours() {
    let ours =
        JwtConfig { issuers: vec!["a".into(), "b".into()], audiences: vec!["yizhan".into()], ..config() };
    let check = |iss: &str, aud: &str| {
        check(&ours, &hs256(&format!(r#"{{"sub":"ann","exp":1700009999,"iss":{iss},"aud":{aud}}}"#)))
    };
    assert!(check("\"b\"", "\"yizhan\"").is_ok() && check("\"a\"", "[\"x\",\"yizhan\"]").is_ok());
    assert!(check("\"c\"", "\"yizhan\"").is_err() && check("[\"a\"]", "\"yizhan\"").is_err());
    assert!(
        check("\"a\"", "\"other\"").is_err()
            && check("\"a\"", "[]").is_err()
            && check("\"a\"", "null").is_err()
    );
    assert!(reason(&ours, &hs256(r#"{"sub":"ann","exp":1700009999,"aud":"yizhan"}"#)).contains("issuer"));
    assert!(
        reason(&config(), &hs256(r#"{"sub":"ann","exp":1700009999,"aud":"x"}"#)).contains("somebody else")
    );
}

#[test]
fn no_algorithm_and_other_algorithms_are_refused() {
    let claims = r#"{"sub":"ann","exp":1700009999}"#;
    for alg in ["none", "None", "NONE", "", "hs256", "HS384", "RS512", "ES256K", "PS256"] {
        let token = signed(SECRET, &format!(r#"{{"alg":"{alg}"}}"#), claims);
        assert_eq!(reason(&config(), &token), "its algorithm is not taken here", "{alg}");
    }
    let unsigned = format!("{}.{}.", header(r#"{"alg":"none"}"#), BASE64.encode(claims));
    assert!(check(&config(), &unsigned).is_err());
    let empty = format!("{}.{}.", header(r#"{"alg":"HS256"}"#), BASE64.encode(claims));
    assert_eq!(reason(&config(), &empty), "its signature is wrong");
    let critical = signed(SECRET, r#"{"alg":"HS256","crit":["b64"]}"#, claims);
    assert!(reason(&config(), &critical).contains("extensions"));
}

#[test]
fn a_public_key_is_never_a_shared_secret() {
    let keys = read_keys(&rfc_keys()).unwrap();
    let config = JwtConfig { secret: None, jwks_url: Some("https://x".into()), ..config() };
    for secret in [RFC_MODULUS.to_owned(), rfc_keys()] {
        for alg in [r#"{"alg":"HS256"}"#, r#"{"alg":"HS256","kid":"r"}"#] {
            let token = signed(&secret, alg, r#"{"sub":"ann","exp":1700009999}"#);
            assert_eq!(
                verify(&config, keys.iter(), NOW, &token),
                Err(Rejected::Bad("its signature is wrong"))
            );
        }
    }
}

#[test]
fn the_examples_of_rfc_7515_verify() {
    let keys = read_keys(&rfc_keys()).unwrap();
    assert_eq!(keys.len(), 2, "what is of no use here is passed over");
    let config = JwtConfig { user_claim: "iss".into(), ..config() };
    for (alg, signature) in [("RS256", RFC_RSA_SIGNATURE), ("ES256", RFC_EC_SIGNATURE)] {
        let head = header(&format!(r#"{{"alg":"{alg}"}}"#));
        let token = format!("{head}.{RFC_PAYLOAD}.{signature}");
        assert_eq!(verify(&config, keys.iter(), RFC_NOW, &token).unwrap().user, "joe", "{alg}");
        assert_eq!(verify(&config, keys.iter(), NOW, &token), Err(Rejected::Expired));
        // The other key's signature, and one that was changed.
        let other = if alg == "RS256" { RFC_EC_SIGNATURE } else { RFC_RSA_SIGNATURE };
        let swapped = format!("{head}.{RFC_PAYLOAD}.{other}");
        assert!(verify(&config, keys.iter(), RFC_NOW, &swapped).is_err());
        let changed = format!("{head}.{RFC_PAYLOAD}.A{}", &signature[1..]);
        assert_ne!(changed, token);
        assert!(verify(&config, keys.iter(), RFC_NOW, &changed).is_err());
    }
}

#[test]
fn fresh_keys_sign_and_verify_and_ids_choose() {
    let random = SystemRandom::new();
    let eddsa = Ed25519KeyPair::from_seed_unchecked(&[7; 32]).unwrap();
    let pkcs8 = EcdsaKeyPair::generate_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, &random).unwrap();
    let es256 = EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, pkcs8.as_ref(), &random).unwrap();
    let (x, y) = es256.public_key().as_ref()[1..].split_at(32);
    let keys = read_keys(&format!(
        r#"{{"keys":[{{"kty":"OKP","crv":"Ed25519","kid":"ed","alg":"EdDSA","x":"{}"}},
                     {{"kty":"EC","crv":"P-256","kid":"ec","x":"{}","y":"{}"}}]}}"#,
        BASE64.encode(eddsa.public_key()),
        BASE64.encode(x),
        BASE64.encode(y)
    ))
    .unwrap();
    let claims = BASE64.encode(r#"{"sub":"ann","exp":1700009999}"#);
    let ed = |head: &str| {
        let text = format!("{}.{claims}", header(head));
        format!("{text}.{}", BASE64.encode(eddsa.sign(text.as_bytes())))
    };
    let ec = |head: &str| {
        let text = format!("{}.{claims}", header(head));
        format!("{text}.{}", BASE64.encode(es256.sign(&random, text.as_bytes()).unwrap()))
    };
    let check = |token: &str| verify(&config(), keys.iter(), NOW, token);
    assert!(check(&ed(r#"{"alg":"EdDSA"}"#)).is_ok() && check(&ed(r#"{"alg":"EdDSA","kid":"ed"}"#)).is_ok());
    assert!(check(&ec(r#"{"alg":"ES256","kid":"ec"}"#)).is_ok());
    assert_eq!(check(&ed(r#"{"alg":"EdDSA","kid":"new"}"#)), Err(Rejected::UnknownKey));
    assert_eq!(check(&ed(r#"{"alg":"EdDSA","kid":"ec"}"#)), Err(Rejected::UnknownKey));
    assert_eq!(check(&ec(r#"{"alg":"EdDSA","kid":"ed"}"#)), Err(Rejected::Bad("its signature is wrong")));
    let only = JwtConfig { key_ids: vec!["ec".into()], ..config() };
    assert!(verify(&only, keys.iter(), NOW, &ec(r#"{"alg":"ES256","kid":"ec"}"#)).is_ok());
    assert!(verify(&only, keys.iter(), NOW, &ec(r#"{"alg":"ES256"}"#)).is_err());
    assert!(verify(&only, keys.iter(), NOW, &ed(r#"{"alg":"EdDSA","kid":"ed"}"#)).is_err());
}

#[test]
fn what_is_no_token_is_refused_without_harm() {
    let good = hs256(r#"{"sub":"ann","exp":1700009999}"#);
    for end in 0..good.len() {
        assert!(check(&config(), &good[..end]).is_err(), "truncated at {end}");
    }
    for bad in ["", ".", "..", "...", "a.b.c", "😀.😀.😀", &format!("{good}."), &format!("{good}=")] {
        assert!(check(&config(), bad).is_err(), "{bad}");
    }
    assert_eq!(reason(&config(), &"x".repeat(1_000_000)), "it is too long");
    let nested = format!(r#"{{"sub":{}"#, "[".repeat(5000));
    assert!(check(&config(), &hs256(&nested)).is_err());
    assert!(check(&config(), &hs256("[]")).is_err() && check(&config(), &hs256("\"ann\"")).is_err());
    let twice = signed(SECRET, r#"{"alg":"none","alg":"HS256"}"#, r#"{"sub":"ann","exp":1700009999}"#);
    assert!(check(&config(), &twice).is_err(), "a field that is there twice");
}

#[test]
fn users_and_roles_come_from_claims_and_stay_harmless() {
    let named = JwtConfig { roles_claim: Some("groups".into()), user_claim: "email".into(), ..config() };
    let check = |user: &str, groups: &str| {
        check(&named, &hs256(&format!(r#"{{"email":{user},"groups":{groups},"exp":1700009999}}"#)))
    };
    assert_eq!(check("\"a@b\"", "[\"ops\",\"owner\",\"narrow:x\",7]").unwrap().roles, ["ops"]);
    assert_eq!(check("\"a@b\"", "\"ops admin\"").unwrap().roles, ["ops", "admin"]);
    assert!(check("\"a@b\"", "[]").unwrap().roles.is_empty());
    for bad in ["\"\"", "\"+\"", "\"a/b\"", "\"$SYS\"", "\"anonymous\"", "\"guest:a\"", "7", "null"] {
        assert!(check(bad, "[]").is_err(), "{bad}");
    }
    assert_eq!(reason(&named, &hs256(r#"{"sub":"ann","exp":1700009999}"#)), "it names no user");
}

#[test]
fn key_sets_are_bounded_and_useful() {
    assert_eq!(read_keys("").err(), Some(BadKeys::NotKeys));
    assert_eq!(read_keys("{\"keys\":[]}").err(), Some(BadKeys::NoneUsable));
    assert_eq!(read_keys("{\"keys\":[{\"kty\":\"oct\",\"k\":\"AAAA\"}]}").err(), Some(BadKeys::NoneUsable));
    assert_eq!(read_keys(&" ".repeat(KEYS_BYTES_MAX + 1)).err(), Some(BadKeys::TooLarge));
    let many = format!("{{\"keys\":[{}1]}}", "1,".repeat(KEYS_MAX));
    assert_eq!(read_keys(&many).err(), Some(BadKeys::TooLarge));
    for useless in [r#""use":"enc""#, r#""alg":"ES384""#] {
        let set = rfc_keys().replace(r#""kid":"e""#, useless).replace(r#""use":"sig""#, r#""use":"enc""#);
        assert_eq!(read_keys(&set).err(), Some(BadKeys::NoneUsable), "{useless}");
    }
    let short = r#"{"keys":[{"kty":"RSA","n":"AQAB","e":"AQAB"}]}"#;
    assert_eq!(read_keys(short).err(), Some(BadKeys::NoneUsable), "an RSA key of 24 bits");
}
