//! Server-Sent Events.

use super::*;

fn stream(opened: Opened) -> Script<Client> {
    let trail = Trail::new(opened.session, opened.secret.clone());
    Script::new(|now| Client::events(now, terms(), opened, Network::Wifi, trail))
}

fn id_of(packet: &[u8]) -> Trail {
    let text = std::str::from_utf8(packet).unwrap();
    Trail::read(text.strip_prefix("id: ").unwrap().strip_suffix('\n').unwrap()).unwrap()
}

#[test]
fn an_event_stream_has_ids_to_go_on_from() {
    let a = record("a", 1, Content::Json, "\"x\ny\"".replace('\n', " "));
    stream(Opened { secret: "s3".into(), keep: Duration::from_secs(60), ..opened() })
        .client(r#"[{"type":"subscribe","sub":1,"filter":"a"}]"#)
        .hears(|packet| assert_eq!(id_of(packet).resume().have.len(), 0))
        .hears(|packet| {
            let data = packet.strip_prefix(b"data: ").unwrap().strip_suffix(b"\n\n").unwrap();
            assert_eq!(json(data)["type"], "welcome");
        })
        .asked(|call| assert!(matches!(call, Call::Subscribe(_))))
        .backend(Answer::Subscribed { id: 1, heads: vec![], missed: Missed::NONE })
        .server("data: {\"type\":\"subscribed\",\"sub\":1,\"pos\":[],\"missed\":0}\n\n")
        .deliver([delivery(1, 5, &a)])
        .hears(|packet| {
            let resume = id_of(packet).resume();
            assert_eq!((resume.session, &*resume.secret), (SessionId(0x3f), "s3"));
            let have = &resume.have[0];
            assert_eq!(
                (have.subscription, have.number, &have.positions[..]),
                (1, Some(5), &[position(1)][..])
            );
        })
        .hears(|packet| assert!(packet.starts_with(b"data: {\"type\":\"records\",\"sub\":1,\"n\":5,")))
        .pass(Duration::from_secs(25))
        .server(": \n\n")
        .pass(Duration::from_secs(600))
        .open();
}

#[test]
fn what_no_longer_fits_into_an_id_is_acked() {
    let a = record("a", 0, Content::Text, "x");
    let mut script = stream(opened()).client("[]").hears(|_| ()).hears(|_| ());
    for sub in 0..65 {
        script = script.deliver([delivery(sub, 9, &a)]).hears(|_| ()).hears(|_| ());
    }
    script
        .asked(|call| assert!(matches!(call, Call::Ack(0, Acked::Number(9)))))
        .backend(Answer::Done)
        .asked_nothing()
        .silent()
        .open();
}
