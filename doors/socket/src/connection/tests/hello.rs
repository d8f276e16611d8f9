//! Who comes in, and how.

use super::*;

#[test]
fn hello_is_answered_by_welcome() {
    let resumable = Opened {
        secret: "s3".into(),
        resumed: true,
        keep: Duration::from_millis(1500),
        subscriptions: vec![
            (1, yizhan_hub::Filter::new("rooms/#").unwrap(), Missed::Count(2)),
            (2, yizhan_hub::Filter::new("a").unwrap(), Missed::Unknown),
        ],
        ..opened()
    };
    silent()
        .client(r#"{"type":"hello","id":1,"token":"yz_1","device":"phone","keep":1.5,"network":"cellular","client":"t/1",
            "resume":{"session":"3f","secret":"s3","have":[{"sub":1,"n":17},{"sub":2,"pos":["1.0.5f3a.9"]}]},
            "will":{"topic":"status/ann","key":"status","text":"gone"}}"#)
        .asked(|call| {
            let Call::Hello(hello) = call else { panic!("{call:?}") };
            assert!(matches!(hello.credentials, Credentials::Token(token) if &*token == "yz_1"));
            assert_eq!((hello.device.as_deref(), hello.keep), (Some("phone"), Duration::from_millis(1500)));
            let resume = hello.resume.unwrap();
            assert_eq!((resume.session, &*resume.secret, resume.have.len()), (SessionId(0x3f), "s3", 2));
            assert_eq!((resume.have[0].number, &resume.have[1].positions[..]), (Some(17), &[position(9)][..]));
            assert_eq!(hello.last_message.unwrap().publish.topic.as_str(), "status/ann");
        })
        .silent()
        .backend(Answer::Opened(Box::new(resumable)))
        .hears(|packet| {
            let welcome = json(packet);
            assert_eq!(welcome["secret"], "s3");
            assert_eq!((&welcome["keep"], &welcome["heartbeat"]), (&1.5.into(), &20.into()));
            let subs = r##"[{"sub":1,"filter":"rooms/#","missed":2},{"sub":2,"filter":"a","missed":-1}]"##;
            assert_eq!(welcome["subs"], json(subs.as_bytes()));
        })
        .silent()
        .open();
}

#[test]
fn keep_is_cut_to_the_limit() {
    silent().client(r#"{"type":"hello","keep":1e9}"#).asked(|call| {
        let Call::Hello(hello) = call else { panic!("{call:?}") };
        assert_eq!(hello.keep, Duration::from_secs(24 * 3600));
    });
}

#[test]
fn commands_wait_for_hello_and_keep_their_order() {
    silent()
        .client(r#"[{"type":"hello","id":1},{"type":"publish","id":2,"topic":"a"},{"type":"ping","id":3}]"#)
        .asked(drop)
        .asked_nothing()
        .backend(welcomed())
        .server(WELCOME)
        .asked(|call| assert!(matches!(call, Call::Publish(_))))
        .silent()
        .backend(kept(812))
        .hears(says("receipt", "re", 2))
        .server(r#"{"type":"pong","re":3}"#)
        .silent();
}

#[test]
fn another_first_command_says_hello_by_itself() {
    lines()
        .client("{\"type\":\"publish\",\"topic\":\"a\",\"text\":\"hi\"}\n{\"type\":\"ping\",\"id\":7}\n")
        .asked(|call| {
            let Call::Hello(hello) = call else { panic!("{call:?}") };
            assert!(matches!(hello.credentials, Credentials::None));
        })
        .asked_nothing()
        .backend(welcomed())
        .hears(says("welcome", "user", "ann"))
        .asked(|call| assert!(matches!(call, Call::Publish(p) if &p.body[..] == b"hi")))
        .silent()
        .backend(kept(1))
        .server("{\"type\":\"pong\",\"re\":7}\n");
}

#[test]
fn where_anonymous_clients_are_not_let_in_hello_must_come_first() {
    silent()
        .client(r#"[{"type":"publish","id":5,"topic":"a"},{"type":"ping"}]"#)
        .asked(drop)
        .backend(Answer::Refused(Refused::NotAdmitted))
        .hears(says("error", "code", 201))
        .hears(says("error", "code", 101))
        .hears(says("error", "code", 101))
        .client(r#"{"type":"ping","id":6}"#)
        .asked_nothing()
        .hears(says("error", "re", 6))
        .client(r#"{"type":"hello","id":7,"user":"ann","password":"p"}"#)
        .asked(drop)
        .backend(welcomed())
        .hears(says("welcome", "re", 7));
}

#[test]
fn hello_comes_within_ten_seconds() {
    silent()
        .pass(Duration::from_millis(9_999))
        .silent()
        .pass(Duration::from_millis(1))
        .hears(closes(4001))
        .closed(4001);
}

#[test]
fn a_slow_password_check_is_not_the_clients_fault() {
    silent()
        .client(r#"{"type":"hello","id":1}"#)
        .pass(Duration::from_secs(60))
        .silent()
        .backend(welcomed())
        .open();
}

#[test]
fn after_three_refused_hellos_the_connection_is_closed() {
    let mut script = silent();
    for _ in 0..3 {
        script = script
            .client(r#"{"type":"hello","token":"x"}"#)
            .backend(Answer::Refused(Refused::BadToken("expired key")))
            .hears(says("error", "code", 203));
    }
    script.hears(closes(4003)).closed(4003);
}

#[test]
fn a_session_that_is_gone_may_be_followed_by_a_new_one() {
    silent()
        .client(r#"{"type":"hello","id":1,"resume":{"session":"3f","secret":"old"}}"#)
        .asked(drop)
        .backend(Answer::Refused(Refused::NoSession))
        .hears(says("error", "code", 301))
        .client(r#"{"type":"hello","id":1}"#)
        .asked(drop)
        .backend(welcomed())
        .server(WELCOME);
}

#[test]
fn hello_comes_once() {
    open().client(r#"{"type":"hello","id":2}"#).asked_nothing().hears(says("error", "code", 102)).open();
}

#[test]
fn the_connection_ends_with_its_token() {
    let mut principal = (*opened().principal).clone();
    principal.expires_at = Some(Timestamp::from_millis(1_767_225_600_000).plus(Duration::from_secs(30)));
    let ending = Opened { principal: Arc::new(principal), ..opened() };
    let begin = || {
        silent().client(r#"{"type":"hello"}"#).backend(Answer::Opened(Box::new(ending.clone()))).hears(|_| ())
    };
    begin()
        .pass(Duration::from_secs(29))
        .silent()
        .pass(Duration::from_secs(1))
        .hears(closes(4004))
        .closed(4004);
    // A clock that was set back for an hour: what the wall says counts.
    begin()
        .set_wall(Timestamp::from_millis(1_767_222_000_000))
        .client(r#"{"type":"network","network":"iot"}"#)
        .hears(|_| ())
        .pass(Duration::from_secs(500))
        .silent()
        .open();
}
