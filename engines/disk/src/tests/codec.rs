use proptest::prelude::*;
use yizhan_hub::message::SpaceId;

use super::*;

const LANE: LanePlace = LanePlace { space: SpaceId(3), lane: 1, epoch: 7 };

fn text() -> impl Strategy<Value = Arc<str>> {
    "[a-zäé/ ]{0,40}".prop_map(|s| s.into())
}

prop_compose! {
    fn messages()(
        topic in "[a-z]{1,10}(/[a-zä]{0,10}){0,4}",
        key in proptest::option::of(text()),
        id in proptest::option::of(any::<u128>()),
        user in text(),
        device in proptest::option::of(text()),
        session: u64,
        content in prop_oneof![
            Just(Content::Binary), Just(Content::Text), Just(Content::Json), text().prop_map(Content::Other)
        ],
        headers in proptest::collection::vec((text(), text()), 0..5),
        body in proptest::collection::vec(any::<u8>(), 0..2000),
        expires_at in proptest::option::of(any::<u64>()),
    ) -> Message {
        Message {
            topic: Topic::new(&topic).unwrap(),
            key,
            id: id.map(MessageId),
            from: Sender { user, device, session: SessionId(session) },
            content,
            headers: headers.into(),
            body: body.into(),
            expires_at: expires_at.map(Timestamp),
            qos: Qos::AtLeastOnce,
        }
    }
}

fn links(offset: u64, at: u64, lag: u64) -> Links {
    let place = offset + 1;
    Links { place, seq: 9, prev: offset / 2, skip: offset / 3, at: Timestamp(at), high: Timestamp(at + lag) }
}

proptest! {
    #[test]
    fn a_record_comes_back_as_it_was(message in messages(), offset in 1u64..1 << 40, at in 0u64..1 << 50, lag in 0u64..1000) {
        let links = links(offset, at, lag);
        let mut bytes = vec![];
        write(&mut bytes, offset / 2, &links, &message);
        prop_assert_eq!(Some(bytes.len()), frame_len(&message, lag));
        let (frame, body) = Frame::whole(&bytes, offset).unwrap();
        prop_assert_eq!(frame.links, links);
        prop_assert_eq!(frame.preamble.group, offset / 2);
        prop_assert_eq!(frame.key_and_id().unwrap(), (message.key.as_deref(), message.id));
        let record = frame.record(&LANE, Bytes::copy_from_slice(body)).unwrap();
        prop_assert_eq!(record.position, Some(LANE.position(offset + 1)));
        prop_assert_eq!((record.seq, record.at), (9, Timestamp(at)));
        let got = record.message;
        prop_assert_eq!(format!("{got:?}"), format!("{message:?}"));
        // The head alone is enough for the links.
        let head = &bytes[..frame.preamble.head_end()];
        prop_assert_eq!(Frame::head(head, offset).unwrap().links, links);
        prop_assert_eq!(Frame::head(&head[..head.len() - 1], offset).unwrap_err(), BadFrame::Cut(head.len()));
    }

    #[test]
    fn one_wrong_bit_is_seen(message in messages(), bit: proptest::sample::Index) {
        let mut bytes = vec![];
        write(&mut bytes, 50, &links(100, 5, 0), &message);
        let bit = bit.index(bytes.len() * 8);
        bytes[bit / 8] ^= 1 << (bit % 8);
        prop_assert!(Frame::whole(&bytes, 100).is_err());
    }

    #[test]
    fn an_erased_record_has_its_frame_and_nothing_that_was_said(
        message in messages(),
        lag in 0u64..1000,
        cut: proptest::sample::Index,
    ) {
        let links = links(100, 5, lag);
        let mut bytes = vec![];
        write(&mut bytes, 50, &links, &message);
        let (was, body) = Frame::whole(&bytes, 100).unwrap();
        let record = was.record(&LANE, Bytes::copy_from_slice(body)).unwrap();
        let Some(empty) = yizhan_hub::store::emptied(&record) else { return Ok(()) };
        let mut erased = write_erased(bytes.len(), 50, &links, &empty.message);
        prop_assert!(erased.len() <= was.preamble.head_end(), "it fits");
        erased.resize(bytes.len(), 0);
        let (frame, body) = Frame::whole(&erased, 100).unwrap();
        prop_assert_eq!((frame.links, frame.preamble.group, body), (links, 50, &[][..]));
        let got = frame.record(&LANE, Bytes::new()).unwrap().message;
        prop_assert_eq!((&got.topic, &got.key, got.id), (&message.topic, &message.key, message.id));
        prop_assert_eq!((&got.from, got.expires_at, got.qos), (&message.from, message.expires_at, message.qos));
        prop_assert!(got.headers.is_empty() && got.content == Content::Binary);
        fuzz_record(&erased);
        // Half of each is neither.
        let cut = cut.index(bytes.len());
        let torn = [&erased[..cut], &bytes[cut..]].concat();
        prop_assert!(torn == bytes || torn == erased || Frame::whole(&torn, 100).is_err());
    }

    #[test]
    fn a_frame_elsewhere_is_none(message in messages(), by in 1u64..1000) {
        let mut bytes = vec![];
        write(&mut bytes, 50, &links(100, 5, 0), &message);
        prop_assert_eq!(Frame::head(&bytes, 100 + by).unwrap_err(), BadFrame::Misplaced);
    }

    #[test]
    fn whatever_comes_is_read_or_refused(bytes: Vec<u8>) {
        fuzz_record(&bytes);
    }

    #[test]
    fn nearly_right_frames_are_read_or_refused(
        message in messages(),
        changes in proptest::collection::vec((any::<proptest::sample::Index>(), any::<u8>()), 1..6),
    ) {
        let mut bytes = vec![];
        write(&mut bytes, 50, &links(100, 5, 0), &message);
        for (at, byte) in changes {
            let at = at.index(bytes.len());
            bytes[at] = byte;
        }
        fuzz_record(&bytes);
    }
}

#[test]
fn what_is_over_the_bounds_is_refused_beforehand() {
    let message = |user: usize, body: usize| Message {
        topic: Topic::new("a").unwrap(),
        key: None,
        id: None,
        from: Sender { user: "u".repeat(user).into(), device: None, session: SessionId(0) },
        content: Content::Binary,
        headers: Arc::new([]),
        body: vec![0; body].into(),
        expires_at: None,
        qos: Qos::default(),
    };
    assert!(frame_len(&message(1000, 1000), 0).is_some());
    assert_eq!(frame_len(&message(HEAD_BYTES_MAX, 0), 0), None);
    assert_eq!(frame_len(&message(0, BODY_BYTES_MAX + 1), 0), None);
}
