//! Signing in, accounts, tokens, invitations.

use http::StatusCode;
use serde_json::{Value, json};

use crate::world::World;

#[test]
fn signing_in_takes_a_name_and_a_password_and_gives_a_token() {
    let world = World::new();
    world.owner();
    let login = |password: &str| {
        world.send("POST", "login", None, Some(json!({ "user": "own", "password": password })))
    };
    let good = login("own's secret");
    assert_eq!(good.status, StatusCode::OK);
    let body: Value = serde_json::from_str(&good.body).unwrap();
    assert_eq!((body["user"].as_str(), &body["roles"]), (Some("own"), &json!(["owner"])));
    assert_eq!(body["expires_at"].as_u64(), Some(1_700_000_000_000 + 12 * 3_600_000));
    let me = world.get("me", body["token"].as_str().unwrap());
    assert_eq!(
        (me["admin"].as_bool(), me["account"].as_bool(), me["has_password"].as_bool()),
        (Some(true), Some(true), Some(true))
    );
    for _ in 0..6 {
        assert_eq!(login("wrong").status, StatusCode::UNAUTHORIZED);
    }
    let late = login("own's secret");
    assert_eq!(late.status, StatusCode::TOO_MANY_REQUESTS);
    assert_eq!(late.retry_after.unwrap().as_secs(), 1);
    assert!(late.body.contains("\"code\":204") && late.body.contains("\"again\":1.0"), "{}", late.body);
    world.wait(2);
    assert_eq!(login("own's secret").status, StatusCode::OK);
}

#[test]
fn bodies_that_are_not_what_they_should_be_are_named() {
    let world = World::new();
    let owner = world.owner();
    let code = |body: Value| world.refused("POST", "accounts", &owner, Some(body));
    assert_eq!(code(json!({ "user": 7 })), (400, 104));
    assert_eq!(code(json!({})), (400, 104));
    assert_eq!(code(json!({ "user": "bob", "pasword": "x" })), (400, 104));
    assert_eq!(code(json!([])), (400, 100));
    assert_eq!(code(json!("x")), (400, 100));
    assert_eq!(code(json!({ "user": "a/b" })), (400, 120));
    assert_eq!(code(json!({ "user": "bob", "password": "short" })), (400, 121));
    assert_eq!(code(json!({ "user": "bob", "roles": ["Big Boss"] })), (400, 120));
    assert_eq!(world.refused("POST", "accounts", &owner, None), (400, 100), "no JSON at all");
    let (_, body) = world.ask("POST", "accounts", &owner, Some(json!({ "user": 7 })));
    assert!(!body["reason"].as_str().unwrap().contains("line"), "{body}");
}

#[test]
fn paths_and_methods_that_are_not_there_are_named() {
    let world = World::new();
    let owner = world.owner();
    assert_eq!(world.refused("GET", "nothing", &owner, None), (404, 106));
    assert_eq!(world.refused("GET", "", &owner, None), (404, 106));
    assert_eq!(world.refused("GET", "accounts/bob/more", &owner, None), (404, 106));
    assert_eq!(world.refused("PUT", "accounts", &owner, None), (405, 105));
    assert_eq!(world.refused("GET", "login", &owner, None), (405, 105));
    assert_eq!(
        world.refused("GET", "spaces?limit=1", &owner, None),
        (400, 104),
        "a parameter it does not take"
    );
    for limit in ["0", "1001", "x", "-1"] {
        assert_eq!(world.refused("GET", &format!("accounts?limit={limit}"), &owner, None), (400, 104));
    }
}

#[test]
fn without_a_good_token_nothing_is_answered() {
    let world = World::new();
    world.owner();
    for path in ["me", "sessions", "accounts", "overview", "config", "audit", "tokens"] {
        let none = world.send("GET", path, None, None);
        assert_eq!(none.status, StatusCode::UNAUTHORIZED, "{path}");
        assert!(none.body.contains("\"code\":201"), "{}", none.body);
        for bad in ["", "x", "yz_x", "a.b.c"] {
            assert_eq!(world.send("GET", path, Some(bad), None).status, StatusCode::UNAUTHORIZED, "{path}");
        }
    }
}

#[test]
fn users_see_what_is_theirs_and_nothing_else() {
    let world = World::new();
    let owner = world.owner();
    let (ann, _bob) = (world.user(&owner, "ann", "user"), world.user(&owner, "bob", "user"));
    for path in [
        "overview",
        "topics",
        "subscriptions?topic=a",
        "spaces",
        "audit",
        "config",
        "accounts",
        "accounts/ann",
    ] {
        assert_eq!(world.refused("GET", path, &ann, None), (403, 210), "{path}");
    }
    assert_eq!(world.refused("GET", "sessions?user=bob", &ann, None), (403, 210));
    assert_eq!(world.refused("GET", "tokens?user=bob", &ann, None), (403, 210));
    assert_eq!(world.refused("POST", "invite", &ann, Some(json!({ "user": "x" }))), (403, 210));
    assert_eq!(world.get("sessions", &ann)["items"], json!([]));
    assert_eq!(world.get("tokens", &ann)["items"].as_array().unwrap().len(), 1);
    let tokens = world.get("tokens?user=bob", &owner);
    let bobs = tokens["items"][0]["id"].as_str().unwrap();
    assert_eq!(
        world.refused("DELETE", &format!("tokens/{bobs}"), &ann, None),
        (404, 303),
        "as if it were not there"
    );
}

#[test]
fn accounts_are_made_changed_listed_and_removed() {
    let world = World::new();
    let owner = world.owner();
    let ann = world.user(&owner, "ann", "user");
    assert_eq!(world.refused("POST", "accounts", &owner, Some(json!({ "user": "ann" }))), (409, 320));
    let (status, changed) =
        world.ask("PATCH", "accounts/ann", &owner, Some(json!({ "roles": ["user", "night"] })));
    assert_eq!((status, &changed["roles"]), (200, &json!(["user", "night"])));
    let shown = world.get("accounts/ann", &owner);
    assert_eq!((&shown["devices"], shown["last_login_at"].as_u64()), (&json!([]), Some(1_700_000_000_000)));
    let page = world.get("accounts?limit=1", &owner);
    assert_eq!((page["items"][0]["user"].as_str(), page["next"].as_str()), (Some("ann"), Some("ann")));
    let page = world.get("accounts?limit=2&after=ann", &owner);
    assert_eq!((page["items"][0]["user"].as_str(), &page["next"]), (Some("own"), &Value::Null));
    assert_eq!(world.ask("DELETE", "accounts/ann", &owner, None).0, 204);
    assert_eq!(world.refused("GET", "accounts/ann", &owner, None), (404, 303));
    assert_eq!(world.send("GET", "me", Some(&ann), None).status, StatusCode::UNAUTHORIZED);
    assert_eq!(world.refused("DELETE", "accounts/own", &owner, None), (409, 321));
    let demote = Some(json!({ "roles": ["user"] }));
    assert_eq!(world.refused("PATCH", "accounts/own", &owner, demote), (409, 321));
    assert_eq!(world.refused("PATCH", "accounts/own", &owner, Some(json!({ "disabled": true }))), (409, 321));
}

#[test]
fn an_invitation_is_a_link_that_works_once() {
    let world = World::new();
    let owner = world.owner();
    let (status, made) = world.ask("POST", "invite", &owner, Some(json!({ "user": "bob" })));
    assert_eq!((status, made["expires_at"].as_u64()), (201, Some(1_700_000_900_000)));
    let ticket = made["ticket"].as_str().unwrap();
    assert_eq!(made["path"].as_str(), Some(&*format!("/#link={ticket}")));
    let follow = || world.send("POST", "login/link", None, Some(json!({ "ticket": ticket })));
    let first = follow();
    assert_eq!(first.status, StatusCode::OK);
    assert!(first.body.contains("\"has_password\":false"));
    assert_eq!(follow().status, StatusCode::UNAUTHORIZED);
    let bob: Value = serde_json::from_str(&first.body).unwrap();
    let bob = bob["token"].as_str().unwrap();
    let (status, _) = world.ask("POST", "me/password", bob, Some(json!({ "new": "bob's secret" })));
    assert_eq!(status, 204);
    assert_eq!(
        world.refused("POST", "me/password", bob, Some(json!({ "old": "wrong", "new": "bob's own" }))),
        (401, 201)
    );
    assert_eq!(world.get("me", bob)["has_password"], true);
}

#[test]
fn a_tokens_text_is_shown_once() {
    let world = World::new();
    let owner = world.owner();
    let rules = json!([{ "effect": "allow", "actions": ["publish"], "topics": ["sensors/7/#"] }]);
    let body = json!({ "name": "sensor 7", "expires_in": null, "rules": rules });
    // The list is in the order in which they were made.
    world.wait(1);
    let (status, made) = world.ask("POST", "tokens", &owner, Some(body));
    assert_eq!(status, 201, "{made}");
    let token = made["token"].as_str().unwrap().to_owned();
    assert!(token.starts_with("yz_") && made["expires_at"].is_null() && made["rules"] == rules);
    let listed = world.get("tokens", &owner);
    assert!(!listed.to_string().contains(&token[15..]), "{listed}");
    assert_eq!(listed["items"][1]["kind"], "personal");
    // A narrow token may say who it is, and sign out; nothing else.
    let me = world.get("me", &token);
    assert_eq!((&me["admin"], &me["user"]), (&json!(false), &json!("own")));
    for path in ["sessions", "tokens", "accounts", "overview"] {
        assert_eq!(world.refused("GET", path, &token, None), (403, 210), "{path}");
    }
    assert_eq!(world.ask("POST", "logout", &token, None).0, 204);
    assert_eq!(world.get("me", &token)["user"], "own", "a personal token stays");
    let id = made["id"].as_str().unwrap();
    assert_eq!(world.ask("DELETE", &format!("tokens/{id}"), &owner, None).0, 204);
    assert_eq!(world.send("GET", "me", Some(&token), None).status, StatusCode::UNAUTHORIZED);
    assert_eq!(world.refused("DELETE", &format!("tokens/{id}"), &owner, None), (404, 303));
    let bad = json!({ "name": "x", "rules": [{ "effect": "allow", "topics": ["a/#/b"] }] });
    assert_eq!(world.refused("POST", "tokens", &owner, Some(bad)), (400, 122));
    assert_eq!(
        world.refused("POST", "tokens", &owner, Some(json!({ "name": "x", "expires_in": -5 }))),
        (400, 104)
    );
    let (_, usual) = world.ask("POST", "tokens", &owner, Some(json!({ "name": "y" })));
    assert_eq!(usual["expires_at"].as_u64(), Some(1_700_000_001_000 + 90 * 86_400_000));
}

#[test]
fn signing_out_ends_the_sign_in() {
    let world = World::new();
    let owner = world.owner();
    assert_eq!(world.ask("POST", "logout", &owner, None).0, 204);
    assert_eq!(world.send("GET", "me", Some(&owner), None).status, StatusCode::UNAUTHORIZED);
}
