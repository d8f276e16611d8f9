//! What holds for any input.

use super::*;
use crate::connection::{Stage, deliveries};

/// The commands of a short talk, one a line.
const TALK: &str = concat!(
    "{\"type\":\"hello\",\"id\":1,\"user\":\"ann\",\"password\":\"é\"}\n",
    "[{\"type\":\"ping\",\"id\":2},{\"type\":\"time\",\"id\":3,\"t1\":1}]\r\n",
    "\n",
    "not json\n",
    "{\"type\":\"publish\",\"id\":4,\"topic\":\"a\",\"data\":{\"x\":[1,2,\"\\ud83d\\ude00\"]}}\n",
);

fn talk(pieces: Vec<&[u8]>) -> Vec<Vec<u8>> {
    let mut script = lines();
    let mut welcomed_yet = false;
    for piece in pieces {
        script = script.client(piece);
        if !welcomed_yet && script.peek(|client| client.stage == Stage::Greeting) {
            welcomed_yet = true;
            script = script.backend(welcomed());
        }
    }
    script.backend(kept(1)).rest().0
}

proptest! {
    #[test]
    fn lines_may_come_in_any_pieces(cuts in prop::collection::vec(0..TALK.len(), 0..12)) {
        let whole = talk(vec![TALK.as_bytes()]);
        let mut cuts = cuts;
        cuts.extend([0, TALK.len()]);
        cuts.sort_unstable();
        let pieces = cuts.windows(2).map(|w| &TALK.as_bytes()[w[0]..w[1]]).collect();
        prop_assert_eq!(talk(pieces), whole);
    }

    /// CBOR says the same as JSON.
    #[test]
    fn frames_of_deliveries_are_alike_in_both_encodings(numbers in prop::collection::vec((0u32..3, 1u64..4), 1..20)) {
        let json_record = record("a", 7, Content::Json, "{\"a\":[1,-2,0.5,null]}");
        let mut all: Vec<_> = numbers.iter().map(|(sub, n)| delivery(*sub, *n, &json_record)).collect();
        all.push(Delivery::Missed { subscription: 1, number: 9, missed: Missed::Unknown });
        let [as_json, as_cbor] = [Encoding::Json, Encoding::Cbor].map(|encoding| {
            let plan = deliveries::plan(&all, encoding);
            prop_assert_eq!(plan.deliveries, all.len());
            let mut frame = BytesMut::new();
            deliveries::write(&all, plan.events, &mut frame, encoding);
            Ok(frame)
        });
        let as_cbor = crate::wire::tests::json_of_cbor(&as_cbor?);
        prop_assert_eq!(json(as_cbor.as_bytes()), json(&as_json?));
    }

    #[test]
    fn any_bytes_end_in_answers_or_a_close(bytes in prop::collection::vec(any::<u8>(), 0..400), over_tcp: bool) {
        let script = if over_tcp { lines() } else { silent() };
        for packet in script.client(bytes).rest().0 {
            json(&packet);
        }
    }
}
