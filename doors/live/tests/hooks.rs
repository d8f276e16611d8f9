//! Webhooks against a program that is well, says no, hangs, or is out of its mind.

#![allow(clippy::disallowed_methods, reason = "tests have clocks and tasks of their own")]

mod served;

use std::time::{Duration, Instant};

use serde_json::{Value, json};
use served::{HANGS, Program, room, says, served};
use yizhan_live::Recorded;
use yizhan_media::{
    Refused,
    access::secret::Secret,
    config::hooks::{Hooks, Posts, Unanswered},
    config::relay::Address,
};
use yizhan_talk::Timestamp;

fn to(program: &Program) -> Posts {
    Posts(vec![Address::new(&program.url)])
}

/// Every hook goes there, with little patience.
fn all(program: &Program) -> Hooks {
    let to = || to(program);
    Hooks {
        on_publish: to(),
        on_unpublish: to(),
        on_play: to(),
        on_stop: to(),
        on_done: to(),
        on_dvr: to(),
        within: Duration::from_millis(300),
        retry_min: Duration::from_millis(20),
        retry_max: Duration::from_millis(40),
        secret: Secret::new("0123456789abcdef"),
        ..Hooks::default()
    }
}

fn ok() -> String {
    says("200 OK", "0")
}

#[tokio::test]
async fn a_program_is_asked_and_told_in_the_form_that_srs_has() {
    let program = Program::new(&[ok()]).await;
    let served = served(all(&program)).await;
    assert!(served.wish(true, "key=hunter2").await.is_ok());
    assert!(served.wish(false, "?token=free&x=1").await.is_ok());
    served.gone(true, 7);
    served.gone(false, 9);
    let recorded = Recorded {
        name: room(),
        folder: "/data/recordings".into(),
        file: "live/room/1.mp4".into(),
        began: Timestamp::from_millis(5),
        millis: 1500,
        bytes: 99,
    };
    served.hooks.recorded(&recorded);
    program.until(|heard| heard.len() == 7).await;
    let heard = program.heard();
    let actions: Vec<&str> = heard.iter().map(|post| post.body["action"].as_str().unwrap()).collect();
    assert_eq!(actions, ["on_publish", "on_play", "on_unpublish", "on_done", "on_stop", "on_done", "on_dvr"]);
    let mut first = heard[0].body.clone();
    let fields = first.as_object_mut().unwrap();
    assert!(fields.remove("id").is_some_and(|id| id.is_string()));
    assert!(fields.remove("at").is_some_and(|at| at.as_u64() > Some(1_700_000_000_000)));
    let body = json!({
        "action": "on_publish", "client_id": "2a", "ip": "203.0.113.7", "vhost": "__defaultVhost__", "app": "live",
        "stream": "room", "param": "?key=hunter2", "server_id": "here", "stream_url": "/live/room",
        "stream_id": "live/room", "door": "rtmp", "client": "OBS 30.1",
    });
    assert_eq!(first, body);
    assert_eq!(heard[1].body["param"], "?token=free&x=1");
    assert_eq!((&heard[2].body["recv_bytes"], &heard[2].body["user"]), (&json!(7), &json!("ann")));
    assert_eq!((&heard[4].body["send_bytes"], &heard[4].body["recv_bytes"]), (&json!(9), &Value::Null));
    let dvr = &heard[6].body;
    assert_eq!(
        (&dvr["file"], &dvr["duration"], &dvr["ip"]),
        (&json!("live/room/1.mp4"), &json!(1.5), &json!(""))
    );
    let ids: std::collections::BTreeSet<&str> =
        heard.iter().map(|h| h.body["id"].as_str().unwrap()).collect();
    assert_eq!(ids.len(), 7, "each has an id of its own");
    for post in &heard {
        let head = post.head.to_ascii_lowercase();
        assert!(
            head.starts_with("post /hook?key=a http/1.1") && head.contains("content-type: application/json")
        );
        assert!(head.contains("x-yizhan-signature: t="), "{head}");
    }
    served.end().await;
}

#[tokio::test]
async fn the_rules_of_access_come_first() {
    let program = Program::new(&[ok()]).await;
    let served = served(all(&program)).await;
    assert!(matches!(served.wish(true, "key=wrong").await, Err(Refused::Denied(_))));
    assert!(program.heard().is_empty(), "what the rules refuse is not asked about");
    let pass = served.wish(true, "token=ann").await.unwrap();
    assert_eq!((pass.user.as_deref(), &program.heard()[0].body["user"]), (Some("ann"), &json!("ann")));
    served.end().await;
}

#[tokio::test]
async fn a_no_is_a_no_with_its_reason_and_an_answer_may_name_the_user() {
    let program = Program::new(&[ok()]).await;
    let served = served(all(&program)).await;
    for (answer, reason) in [
        (says("200 OK", r#"{"code":1,"msg":"pay first"}"#), "pay first"),
        (says("200 OK", "403"), "refused"),
        (says("403 Forbidden", "no"), "refused"),
        (says("401 Unauthorized", r#"{"code":9,"reason":"who are you"}"#), "who are you"),
        (says("400 Bad Request", "0"), "refused"),
    ] {
        program.answer(std::slice::from_ref(&answer));
        for publishing in [true, false] {
            let no = served.wish(publishing, "key=hunter2").await;
            assert!(matches!(&no, Err(Refused::Hook(said)) if said.contains(reason)), "{answer}: {no:?}");
        }
    }
    program.answer(&[says("200 OK", r#"{"code":0,"user":"bob"}"#)]);
    assert_eq!(served.wish(true, "key=hunter2").await.unwrap().user.as_deref(), Some("bob"));
    served.end().await;
}

#[tokio::test]
async fn what_hangs_or_talks_nonsense_is_no_yes_and_costs_no_more_than_its_budget() {
    let program = Program::new(&[HANGS.to_owned()]).await;
    let served = served(all(&program)).await;
    let began = Instant::now();
    let no = served.wish(true, "key=hunter2").await;
    assert!(matches!(no, Err(Refused::Hook(said)) if said.contains("did not answer")));
    assert!(began.elapsed() < Duration::from_secs(5));
    let large = format!("HTTP/1.1 200 OK\r\ncontent-length: 104857600\r\n\r\n{}", "0".repeat(70_000));
    for answer in [
        "garbage\r\n\r\n".to_owned(),
        says("200 OK", ""),
        says("200 OK", "ok"),
        says("200 OK", "<html>"),
        says("500 Oh", "0"),
        says("302 Found\r\nlocation: http://127.0.0.1:1/", "0"),
        large,
    ] {
        program.answer(std::slice::from_ref(&answer));
        let no = served.wish(false, "").await;
        assert!(matches!(no, Err(Refused::Hook(said)) if said.contains("did not answer")), "{answer}");
    }
    let asked = program.heard().len();
    for _ in 0..20 {
        assert!(served.wish(false, "").await.is_err());
    }
    assert!(program.heard().len() < asked + 5, "one that fails again and again is left alone for a moment");
    assert!(served.hooks.questions().1 >= 28);
    program.answer(&[ok()]);
    let waiting = async {
        while served.wish(false, "").await.is_err() {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    tokio::time::timeout(served::PATIENCE, waiting).await.expect("it is asked again once it is well");
    served.end().await;
}

#[tokio::test]
async fn the_operator_may_let_people_in_where_nobody_answers() {
    let nobody = || Posts(vec![Address::new("http://127.0.0.1:1/")]);
    let config = Hooks {
        on_publish: nobody(),
        on_play: nobody(),
        play_unanswered: Unanswered::Allow,
        ..Hooks::default()
    };
    let served = served(config).await;
    assert!(matches!(served.wish(true, "key=hunter2").await, Err(Refused::Hook(_))));
    assert!(served.wish(false, "").await.is_ok());
    served.end().await;
}

#[tokio::test]
async fn of_several_programs_each_must_say_yes() {
    let (one, two) = (Program::new(&[ok()]).await, Program::new(&[says("200 OK", "1")]).await);
    let both = Posts(vec![Address::new(&one.url), Address::new(&two.url)]);
    let served = served(Hooks { on_play: both, ..Hooks::default() }).await;
    assert!(served.wish(false, "").await.is_err());
    two.answer(&[ok()]);
    assert!(served.wish(false, "").await.is_ok());
    assert_eq!((one.heard().len(), two.heard().len()), (2, 2));
    served.end().await;
}

#[tokio::test]
async fn what_happened_is_told_in_order_and_again_until_it_is_taken() {
    let broken =
        [says("500 Oh", ""), "garbage\r\n\r\n".to_owned(), HANGS.to_owned(), says("404 Not Found", "")];
    let program = Program::new(&broken).await;
    let served = served(all(&program)).await;
    for number in 1..=5 {
        served.gone(false, number);
    }
    program.until(|heard| heard.len() >= 6).await;
    assert!(program.heard().iter().all(|post| post.body == program.heard()[0].body), "nothing overtakes");
    let lane = &served.hooks.lanes()[0];
    assert!(lane.failures > 0 && lane.error.is_some() && !lane.address.contains("key=a"), "{lane:?}");
    program.answer(&[says("204 No Content", "")]);
    // Each is told as on_stop and as on_done.
    program.until(|heard| heard.iter().filter(|post| post.answered.contains("204")).count() == 10).await;
    let taken: Vec<_> = program.heard().into_iter().filter(|post| post.answered.contains("204")).collect();
    let bytes: Vec<u64> = taken.iter().map(|post| post.body["send_bytes"].as_u64().unwrap()).collect();
    assert_eq!(bytes, [1, 1, 2, 2, 3, 3, 4, 4, 5, 5]);
    assert!(taken[0].head.to_ascii_lowercase().contains("x-yizhan-attempt: "));
    let waiting = async {
        while served.hooks.lanes()[0].taken < 10 {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(served::PATIENCE, waiting).await.unwrap();
    served.end().await;
}

#[tokio::test]
async fn what_waits_is_bounded_and_grows_old() {
    let program = Program::new(&[HANGS.to_owned()]).await;
    let config = Hooks {
        on_stop: to(&program),
        within: Duration::from_millis(200),
        events_max: 3,
        retry_min: Duration::from_millis(20),
        retry_max: Duration::from_millis(20),
        give_up: Duration::from_millis(600),
        ..Hooks::default()
    };
    let served = served(config).await;
    served.gone(false, 0);
    program.until(|heard| !heard.is_empty()).await;
    for number in 1..=10 {
        served.gone(false, number);
    }
    let lane = served.hooks.lanes()[0].clone();
    assert_eq!((lane.waiting, lane.dropped), (3, 7), "the oldest were dropped: {lane:?}");
    let waiting = async {
        while served.hooks.lanes()[0].waiting > 0 || served.hooks.lanes()[0].dropped < 11 {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    tokio::time::timeout(served::PATIENCE, waiting).await.expect("all of them are given up in the end");
    program.answer(&[ok()]);
    served.gone(false, 77);
    program.until(|heard| heard.iter().any(|post| post.body["send_bytes"] == 77)).await;
    served.end().await;
}
