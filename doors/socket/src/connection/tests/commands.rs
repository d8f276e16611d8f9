//! Commands and their answers.

use super::*;

#[test]
fn answers_come_in_the_order_of_commands() {
    open()
        .client(r#"{"type":"publish","id":2,"topic":"a"}"#)
        .client(r#"{"type":"time","id":3,"t1":5.25}"#)
        .client(r#"{"type":"dance","id":4}"#)
        .client(r#"{"type":"publish","id":5,"topic":"a"}"#)
        .silent()
        .backend(kept(812))
        .server(r#"{"type":"receipt","re":2,"seq":812,"pos":"1.0.5f3a.32c","at":1790000000123,"durable":"disk","duplicate":false}"#)
        .server(r#"{"type":"time","re":3,"t1":5.25,"t2":1767225600000,"t3":1767225600000}"#)
        .hears(says("error", "re", 4))
        .silent()
        .backend(Answer::Refused(Refused::NoSpace(Topic::new("a").unwrap())))
        .hears(says("error", "code", 310));
}

#[test]
fn without_id_only_failures_of_publish_ack_and_unsubscribe_are_answered() {
    open()
        .client(r#"[{"type":"publish","topic":"a"},{"type":"ack","sub":1,"n":1},{"type":"unsubscribe","sub":1},{"type":"publish","topic":"a"}]"#)
        .backend(kept(1))
        .backend(Answer::Done)
        .backend(Answer::Done)
        .silent()
        .backend(Answer::Refused(Refused::TooLarge { bytes: 9, bytes_max: 8 }))
        .hears(|packet| {
            let error = json(packet);
            assert_eq!((&error["code"], error.get("re")), (&114.into(), None));
        });
}

#[test]
fn subscribe_history_state_and_presence_are_answered() {
    let page = Page {
        records: vec![record("a", 1, Content::Text, "x")],
        through: None,
        at_end: false,
        missed: Missed::Unknown,
    };
    let present = Present {
        user: "ann".into(),
        device: None,
        session: SessionId(1),
        door: "ws",
        since: Timestamp::from_millis(5),
    };
    open()
        .client(r#"[{"type":"subscribe","id":2,"sub":1,"filter":"a","last":50,"state":true,"window":100,"no_local":true},
            {"type":"history","id":3,"topic":"a","before":812},{"type":"state","id":4,"filter":"a/+"},
            {"type":"presence","id":5,"user":"ann"},{"type":"unsubscribe","id":6,"sub":1}]"#)
        .asked(|call| {
            let Call::Subscribe(wish) = call else { panic!("{call:?}") };
            assert!(matches!(wish.from, Start::Last(50)) && wish.with_state && wish.no_local);
            assert_eq!((wish.id, wish.filter.as_str(), wish.window), (1, "a", Some(100)));
        })
        .backend(Answer::Subscribed { id: 1, heads: vec![position(9)], missed: Missed::NONE })
        .server(r#"{"type":"subscribed","re":2,"sub":1,"pos":["1.0.5f3a.9"],"missed":0}"#)
        .backend(Answer::History(page))
        .hears(|packet| {
            let history = json(packet);
            assert_eq!((&history["more"], &history["missed"]), (&true.into(), &(-1).into()));
            assert_eq!(history["records"][0]["text"], "x");
        })
        .backend(Answer::State(vec![]))
        .server(r#"{"type":"state","re":4,"records":[],"more":false}"#)
        .backend(Answer::Present(vec![present]))
        .server(r#"{"type":"presence","re":5,"sessions":[{"user":"ann","session":"0000000000000001","door":"ws","since":5}]}"#)
        .backend(Answer::Done)
        .server(r#"{"type":"ok","re":6}"#);
}

#[test]
fn an_ack_names_a_number_or_a_place() {
    open()
        .client(r#"[{"type":"ack","sub":1,"n":17},{"type":"ack","sub":1,"pos":"1.0.5f3a.9"}]"#)
        .asked(|call| assert!(matches!(call, Call::Ack(1, Acked::Number(17)))))
        .asked(|call| assert!(matches!(call, Call::Ack(1, Acked::Position(p)) if p == position(9))));
}

#[test]
fn large_answers_are_asked_for_a_few_at_a_time() {
    let many = vec![r#"{"type":"history","topic":"a"}"#; 100].join(",");
    let mut script = open().client(format!("[{many},{}]", r#"{"type":"ping","id":9}"#));
    let page = || Page { records: vec![], through: None, at_end: true, missed: Missed::NONE };
    for i in 0..100 {
        script = script.asked(drop);
        if i >= 15 {
            script = script
                .asked_nothing()
                .look(|client, _| assert_eq!(client.takes_input(), client.waiting.is_empty()));
            script = script.backend(Answer::History(page())).hears(|_| ());
        }
    }
    for _ in 0..15 {
        script = script.backend(Answer::History(page())).hears(|_| ());
    }
    script.server(r#"{"type":"pong","re":9}"#).asked_nothing().open();
}

#[test]
fn a_full_pipeline_takes_no_input_until_answers_come() {
    let frame = format!("[{}]", vec![r#"{"type":"publish","topic":"a"}"#; 1000].join(","));
    let script = open().client(&frame).client(&frame).look(|client, _| {
        assert!(!client.takes_input());
        assert_eq!((client.pending.len(), client.waiting.len()), (1024, 976));
    });
    let mut script = script;
    for i in 0..2000 {
        script = script.asked(drop).backend(kept(i));
    }
    script.asked_nothing().silent().look(|client, _| assert!(client.takes_input() && client.is_settled()));
}

#[test]
fn bye_ends_the_session_and_the_connection() {
    open()
        .client(r#"{"type":"bye"}"#)
        .asked(|call| assert!(matches!(call, Call::Goodbye)))
        .backend(Answer::Done)
        .server(r#"{"type":"close","code":1000,"reason":"goodbye","again":"soon"}"#)
        .closed(1000);
    silent().client(r#"{"type":"bye"}"#).hears(closes(1000)).closed(1000);
}

#[test]
fn who_is_too_fast_is_told_and_then_closed() {
    let too_fast = || Answer::Refused(Refused::TooFast(Duration::from_millis(250)));
    let publish = r#"{"type":"publish","topic":"a"}"#;
    let mut script = open().client(publish).backend(too_fast()).hears(says("error", "again", 0.25));
    for _ in 0..98 {
        script = script.client(publish).backend(too_fast()).hears(says("error", "code", 402));
    }
    // A pause forgives.
    script = script.pass(Duration::from_secs(11)).client(publish).backend(too_fast()).hears(|_| ());
    for _ in 0..99 {
        script = script.client(publish).backend(too_fast()).hears(says("error", "code", 402));
    }
    script.hears(closes(4029)).closed(4029);
}

#[test]
fn a_question_is_answered_by_what_the_service_told() {
    open()
        .client(r#"{"type":"ask","id":2,"to":"im/history","data":{"after":1}}"#)
        .asked(|call| {
            let Call::Ask(ask) = call else { panic!("{call:?}") };
            assert_eq!((&*ask.name, &ask.body[..]), ("im/history", &br#"{"after":1}"#[..]));
        })
        .backend(Answer::Told("{\"messages\":\n[]}".into()))
        .server(r#"{"type":"told","re":2,"data":{"messages": []}}"#)
        .client(r#"{"type":"ask","to":"im/list"}"#)
        .asked(|call| assert!(matches!(call, Call::Ask(ask) if ask.body.is_empty())))
        .backend(Answer::Told(bytes::Bytes::new()))
        .server(r#"{"type":"told"}"#)
        .client(r#"{"type":"ask","id":3,"to":"im/recall","data":null}"#)
        .asked(|call| assert!(matches!(call, Call::Ask(ask) if &ask.body[..] == b"null")))
        .backend(Answer::Refused(Refused::Denied(Box::new(yizhan_hub::service::Denied {
            code: 632,
            reason: "too late".into(),
            again: yizhan_talk::Again::Never,
        }))))
        .server(r#"{"type":"error","re":3,"code":632,"reason":"too late","again":"never"}"#)
        .client(r#"{"type":"ask","id":4,"to":"ghost/hello"}"#)
        .backend(Answer::Refused(Refused::NoService("ghost/hello".into())))
        .hears(says("error", "code", 313))
        .open();
}

/// {"type": "ask", "id": 2, "to": "im/list", "data": {"limit": 5}}
#[test]
fn a_question_in_cbor_is_json_for_the_service_and_back() {
    silent_cbor()
        .client(b"\xa2\x64type\x65hello\x62id\x01".as_slice())
        .asked(drop)
        .backend(welcomed())
        .hears(|_| ())
        .client(b"\xa4\x64type\x63ask\x62id\x02\x62to\x67im/list\x64data\xa1\x65limit\x05".as_slice())
        .asked(|call| assert!(matches!(call, Call::Ask(ask) if &ask.body[..] == br#"{"limit":5}"#)))
        .backend(Answer::Told(r#"{"unread":4,"next":null}"#.into()))
        .hears(|packet| {
            let told = json(crate::wire::tests::json_of_cbor(packet).as_bytes());
            assert_eq!(told, serde_json::json!({"type":"told","re":2,"data":{"unread":4,"next":null}}));
        });
}

#[test]
fn questions_are_asked_256_at_a_time_and_fewer_beside_large_ones() {
    let asks = vec![r#"{"type":"ask","to":"im/list"}"#; 300].join(",");
    open().client(format!("[{asks}]")).look(|client, _| {
        assert_eq!((client.pending.len(), client.waiting.len()), (256, 44));
    });
    let pages = vec![r#"{"type":"history","topic":"a"}"#; 15].join(",");
    let mut script = open().client(format!("[{pages},{asks}]")).look(|client, _| {
        assert_eq!((client.pending.len(), client.waiting.len()), (15 + 16, 300 - 16));
    });
    let page = || Page { records: vec![], through: None, at_end: true, missed: Missed::NONE };
    for _ in 0..15 {
        script = script.asked(drop).backend(Answer::History(page())).hears(|_| ());
    }
    script = script.look(|client, _| assert_eq!((client.pending.len(), client.waiting.len()), (256, 44)));
    for _ in 0..300 {
        script = script.asked(drop).backend(Answer::Told("1".into())).server(r#"{"type":"told","data":1}"#);
    }
    script.asked_nothing().look(|client, _| assert!(client.is_settled() && client.pending_weight == 0));
}
