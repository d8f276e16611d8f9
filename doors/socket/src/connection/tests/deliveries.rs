//! Records on their way out.

use super::*;

#[test]
fn records_of_one_subscription_stand_in_one_event() {
    let (a, b) = (record("a", 1, Content::Text, "x"), record("a", 2, Content::Json, "{\"y\":\n1}"));
    let text = r#"{"topic":"a","seq":1,"pos":"1.0.5f3a.1","at":1790000000123,"from":"ann","device":"phone","session":"000000000000003f","text":"x"}"#;
    let data = r#"{"topic":"a","seq":2,"pos":"1.0.5f3a.2","at":1790000000123,"from":"ann","device":"phone","session":"000000000000003f","data":{"y": 1}}"#;
    open()
        .deliver([delivery(1, 17, &a), delivery(1, 18, &b)])
        .server(format!(r#"{{"type":"records","sub":1,"n":17,"records":[{text},{data}]}}"#))
        .deliver([
            delivery(1, 19, &a),
            delivery(2, 1, &a),
            Delivery::Missed { subscription: 2, number: 2, missed: Missed::Count(3) },
            delivery(2, 5, &a),
            Delivery::StateEnd { subscription: 2 },
        ])
        .server(format!(
            r#"[{{"type":"records","sub":1,"n":19,"records":[{text}]}},{{"type":"records","sub":2,"n":1,"records":[{text}]}},{{"type":"missed","sub":2,"n":2,"missed":3}},{{"type":"records","sub":2,"n":5,"records":[{text}]}},{{"type":"state_end","sub":2}}]"#
        ))
        .silent();
}

#[test]
fn a_batch_stands_among_records_as_its_records_do() {
    let [a, b, c] = [1, 2, 3].map(|seq| record("a", seq, Content::Text, "x"));
    let batch = Batch::cut(&[b.clone(), c.clone()]).next().unwrap();
    let apart = [delivery(1, 5, &a), delivery(1, 6, &b), delivery(1, 7, &c), delivery(1, 8, &a)];
    let (packets, _) = open().deliver(apart).rest();
    let together = Delivery::Batch { subscription: 1, number: 6, batch };
    open().deliver([delivery(1, 5, &a), together, delivery(1, 8, &a)]).server(&packets[0]).silent();
}

#[test]
fn frames_stay_small_unless_one_record_is_larger() {
    let (small, large) =
        (record("a", 0, Content::Binary, vec![0; 1000]), record("a", 0, Content::Binary, vec![0; 100_000]));
    let mut deliveries: Vec<_> = (1..=200).map(|n| delivery(1, n, &small)).collect();
    deliveries.push(delivery(1, 201, &large));
    deliveries.push(delivery(1, 202, &small));
    let (packets, _) = open().deliver(deliveries).rest();
    let mut number = 1;
    for packet in &packets {
        let records = json(packet);
        assert_eq!(records["n"], number, "nothing is left out");
        let count = records["records"].as_array().unwrap().len();
        assert!(packet.len() <= 64 * 1024 || count == 1, "{count} records in {} bytes", packet.len());
        number += count as u64;
    }
    assert_eq!(number, 203);
    assert!(packets.len() <= 8, "{} packets", packets.len());
}

#[test]
fn every_kind_of_body_has_its_field() {
    for (content, body, fields) in [
        (Content::Binary, &b""[..], r#"{}"#),
        (Content::Binary, &[0, 255], r#"{"bin":"AP8="}"#),
        (Content::Text, b"a\"b", r#"{"text":"a\"b"}"#),
        (Content::Text, &[0xff], r#"{"bin":"/w==","content":"text/plain"}"#),
        (Content::Other("image/png".into()), b"x", r#"{"bin":"eA==","content":"image/png"}"#),
        (Content::Other("text/html".into()), b"x", r#"{"text":"x","content":"text/html"}"#),
    ] {
        let record = record("a", 0, content, body);
        open().deliver([delivery(1, 1, &record)]).hears(|packet| {
            let event = json(packet);
            let mut written = event["records"][0].as_object().unwrap().clone();
            written.retain(|name, _| ["bin", "text", "data", "content"].contains(&&**name));
            assert_eq!(serde_json::Value::from(written), json(fields.as_bytes()));
        });
    }
}

#[test]
fn the_hub_may_end_the_talk() {
    let a = record("a", 1, Content::Text, "x");
    open()
        .deliver([delivery(1, 1, &a), Delivery::Leave(Close::TAKEN_OVER), delivery(1, 2, &a)])
        .hears(says("records", "n", 1))
        .hears(says("close", "again", "never"))
        .closed(4009);
    open().leave(Close::GOING_AWAY).hears(closes(1001)).closed(1001);
}

#[test]
fn nothing_is_delivered_before_the_welcome() {
    silent()
        .look(|client, _| assert!(!client.takes_delivery()))
        .client(r#"{"type":"hello"}"#)
        .look(|client, _| assert!(!client.takes_delivery()))
        .backend(welcomed())
        .look(|client, _| assert!(client.takes_delivery()));
}
