use proptest::prelude::*;

use super::*;
use crate::wire::{Head, write_message};

const LIMITS: Limits = Limits { media_bytes_max: 1 << 20, other_bytes_max: 1 << 16 };

fn reader() -> ChunkReader {
    ChunkReader::new(LIMITS)
}

/// All messages in these bytes.
fn read(reader: &mut ChunkReader, bytes: &[u8]) -> Result<Vec<Message>, ChunkError> {
    let mut input = BytesMut::from(bytes);
    let mut messages = Vec::new();
    while let Some(message) = reader.next(&mut input)? {
        messages.push(message);
    }
    Ok(messages)
}

/// Timestamps and bodies.
fn told(messages: &[Message]) -> Vec<(u32, &[u8])> {
    messages.iter().map(|message| (message.timestamp, &message.body[..])).collect()
}

/// A chunk of type 0 on chunk stream 4.
fn whole(time: u32, len: u8, body: &[u8]) -> Vec<u8> {
    let [_, time @ ..] = time.to_be_bytes();
    [&[4][..], &time, &[0, 0, len, 8, 1, 0, 0, 0], body].concat()
}

fn chunk_size(size: u32) -> Vec<u8> {
    [&[2, 0, 0, 0, 0, 0, 4, kind::CHUNK_SIZE, 0, 0, 0, 0][..], &size.to_be_bytes()].concat()
}

#[test]
fn the_four_types_of_heads_leave_out_more_and_more() {
    let bytes = [
        whole(100, 2, b"ab"),
        // 20 later, of another length and kind.
        vec![0x44, 0, 0, 20, 0, 0, 1, 9, b'c'],
        // 30 later, as the one before.
        vec![0x84, 0, 0, 30, b'd'],
        // As much later again.
        vec![0xc4, b'e'],
    ]
    .concat();
    let messages = read(&mut reader(), &bytes).unwrap();
    assert_eq!(told(&messages), [(100, &b"ab"[..]), (120, b"c"), (150, b"d"), (180, b"e")]);
    assert_eq!(
        messages.iter().map(|m| (m.kind, m.stream)).collect::<Vec<_>>(),
        [(8, 1), (9, 1), (9, 1), (9, 1)]
    );
}

#[test]
fn a_new_message_without_a_head_after_a_whole_one_adds_its_timestamp() {
    let messages = read(&mut reader(), &[whole(23, 1, b"a"), vec![0xc4, b'b']].concat()).unwrap();
    assert_eq!(told(&messages), [(23, &b"a"[..]), (46, b"b")]);
}

#[test]
fn chunk_streams_have_ids_of_one_two_and_three_bytes() {
    let head = [0, 0, 0, 0, 0, 1, 8, 0, 0, 0, 0];
    let bytes = [
        &[&[63][..], &head, b"a"].concat()[..],
        &[&[0, 0][..], &head, b"b"].concat(),
        &[&[0, 255][..], &head, b"c"].concat(),
        &[&[1, 0, 0][..], &head, b"d"].concat(),
        &[&[1, 255, 255][..], &head, b"e"].concat(),
        // 64 in three bytes is the same chunk stream as in two.
        &[0xc1, 0, 0, b'f'],
        &[0xc0, 255, b'g'],
    ]
    .concat();
    let messages = read(&mut reader(), &bytes).unwrap();
    let bodies: Vec<u8> = messages.iter().flat_map(|message| message.body.to_vec()).collect();
    assert_eq!(bodies, b"abcdefg");
}

#[test]
fn extended_timestamps_are_repeated_or_not() {
    let begin =
        [&[4, 0xff, 0xff, 0xff, 0, 0, 200, 9, 1, 0, 0, 0, 0x12, 0x34, 0x56, 0x78][..], &[7; 128]].concat();
    let again = [&[0xc4, 0x12, 0x34, 0x56, 0x78][..], &[8; 72]].concat();
    let without = [&[0xc4][..], &[8; 72]].concat();
    let body = [&[7; 128][..], &[8; 72]].concat();
    for rest in [again, without] {
        let messages = read(&mut reader(), &[&begin[..], &rest].concat()).unwrap();
        assert_eq!(told(&messages), [(0x1234_5678, &body[..])]);
    }
}

#[test]
fn time_wraps() {
    let bytes = [
        &[4, 0xff, 0xff, 0xff, 0, 0, 1, 9, 1, 0, 0, 0, 0xff, 0xff, 0xff, 0xf0, b'a'][..],
        &[0x84, 0, 0, 0x20, b'b'],
    ]
    .concat();
    let messages = read(&mut reader(), &bytes).unwrap();
    assert_eq!(told(&messages), [(0xffff_fff0, &b"a"[..]), (0x10, b"b")]);
}

#[test]
fn messages_are_interleaved() {
    let mut audio = BytesMut::new();
    write_message(&mut audio, Head { on: 4, kind: 8, timestamp: 5, stream: 1 }, &[b"sound"], 128);
    let mut video = BytesMut::new();
    write_message(&mut video, Head { on: 6, kind: 9, timestamp: 4, stream: 1 }, &[&[3; 300]], 128);
    let first = 12 + 128;
    let bytes = [&video[..first], &audio[..], &video[first..]].concat();
    let messages = read(&mut reader(), &bytes).unwrap();
    assert_eq!(told(&messages), [(5, &b"sound"[..]), (4, &[3; 300])]);
}

#[test]
fn an_aborted_message_is_forgotten() {
    let mut reader = reader();
    let abort = [2, 0, 0, 0, 0, 0, 4, kind::ABORT, 0, 0, 0, 0, 0, 0, 0, 4];
    let bytes = [&whole(1, 200, &[1; 128])[..], &abort, &whole(2, 2, b"ok")].concat();
    let messages = read(&mut reader, &bytes).unwrap();
    assert_eq!(told(&messages), [(2, &b"ok"[..])]);
    assert!(!reader.is_within());
    // One for a chunk stream that nobody knows does nothing.
    let other = [2, 0, 0, 0, 0, 0, 4, kind::ABORT, 0, 0, 0, 0, 0, 0, 0, 9];
    assert_eq!(read(&mut reader, &other), Ok(vec![]));
}

#[test]
fn chunk_sizes_are_1_to_the_end_of_31_bits() {
    for size in [0, 1 << 31, u32::MAX] {
        assert_eq!(read(&mut reader(), &chunk_size(size)), Err(ChunkError::ChunkSize(size)));
    }
    let mut one = reader();
    let bytes = [&chunk_size(1)[..], &whole(9, 3, b"a"), &[0xc4, b'b', 0xc4, b'c']].concat();
    assert_eq!(told(&read(&mut one, &bytes).unwrap()), [(9, &b"abc"[..])]);
    let mut huge = reader();
    let mut bytes = BytesMut::from(&chunk_size(i32::MAX as u32)[..]);
    let body = vec![5; 1 << 20];
    write_message(&mut bytes, Head { on: 6, kind: 9, timestamp: 1, stream: 1 }, &[&body], 1 << 24);
    assert_eq!(told(&read(&mut huge, &bytes).unwrap()), [(1, &body[..])]);
}

#[test]
fn what_is_too_long_is_refused_by_its_head() {
    let huge = [6, 0, 0, 0, 0xff, 0xff, 0xff, 9, 1, 0, 0, 0];
    let max = LIMITS.media_bytes_max;
    assert_eq!(read(&mut reader(), &huge), Err(ChunkError::TooBig { len: 0xff_ffff, max }));
    let command = [3, 0, 0, 0, 1, 0, 1, 20, 0, 0, 0, 0];
    let max = LIMITS.other_bytes_max;
    assert_eq!(read(&mut reader(), &command), Err(ChunkError::TooBig { len: 0x1_0001, max }));
}

#[test]
fn unfinished_messages_of_many_chunk_streams_are_bounded() {
    let mut reader = reader();
    let body = vec![0; LIMITS.media_bytes_max];
    for on in 3..9 {
        let mut bytes = BytesMut::new();
        write_message(&mut bytes, Head { on, kind: 9, timestamp: 0, stream: 1 }, &[&body], CHUNK_BYTES);
        // All but the last chunk.
        bytes.truncate(bytes.len() - 1 - CHUNK_BYTES);
        match read(&mut reader, &bytes) {
            Ok(messages) => assert!(messages.is_empty()),
            Err(error) => return assert_eq!(error, ChunkError::TooMuch(2 * LIMITS.media_bytes_max)),
        }
    }
    panic!("six unfinished messages were taken");
}

#[test]
fn chunk_streams_are_counted() {
    let mut reader = reader();
    for id in 0..=u8::MAX {
        let result = read(&mut reader, &[0, id, 0, 0, 0, 0, 0, 0, 8, 0, 0, 0, 0]);
        if usize::from(id) < CHUNK_STREAMS_MAX {
            assert_eq!(result.unwrap().len(), 1);
        } else {
            assert_eq!(result, Err(ChunkError::TooManyStreams));
        }
    }
}

#[test]
fn a_chunk_stream_begins_with_a_head() {
    for first in [0x84, 0xc4] {
        assert_eq!(read(&mut reader(), &[first, 0, 0, 0, 0]), Err(ChunkError::NoHead));
    }
    // librtmp begins the control stream with one that lacks the message stream.
    let bytes = [0x42, 0, 0, 7, 0, 0, 1, 4, b'x'];
    assert_eq!(told(&read(&mut reader(), &bytes).unwrap()), [(7, &b"x"[..])]);
}

#[test]
fn a_message_does_not_begin_within_another_one() {
    let bytes = [whole(1, 200, &[1; 128]), whole(2, 1, b"x")].concat();
    assert_eq!(read(&mut reader(), &bytes), Err(ChunkError::Within));
}

#[test]
fn a_long_message_that_does_not_come_takes_no_room() {
    let mut reader = reader();
    let len = (LIMITS.media_bytes_max as u32).to_be_bytes();
    let bytes = [&[6, 0, 0, 0][..], &len[1..], &[9, 1, 0, 0, 0], &[0; 100]].concat();
    assert_eq!(read(&mut reader, &bytes), Ok(vec![]));
    assert!(reader.is_within());
    assert!(reader.streams[0].body.capacity() <= FIRST_BYTES);
}

fn message() -> impl Strategy<Value = (Head, Vec<u8>)> {
    let time = prop_oneof![any::<u32>(), 0u32..100_000, 0xff_fff0u32..0x100_0010];
    let kinds = prop_oneof![Just(kind::AUDIO), Just(kind::VIDEO), Just(kind::DATA), Just(kind::COMMAND)];
    let head = (2u8..64, kinds, time, any::<u32>());
    let head = head.prop_map(|(on, kind, timestamp, stream)| Head { on, kind, timestamp, stream });
    (head, prop::collection::vec(any::<u8>(), 0..2000))
}

proptest! {
    /// Messages in chunks of any size, that come in pieces of any size, are read as they were written.
    #[test]
    fn what_was_written_is_read(
        messages in prop::collection::vec(message(), 0..8),
        chunk in prop_oneof![Just(1), Just(128), 1usize..3000, Just(i32::MAX as usize)],
        piece in 1usize..500,
    ) {
        let mut bytes = BytesMut::from(&chunk_size(chunk as u32)[..]);
        for (head, body) in &messages {
            let half = body.len() / 2;
            prop_assert!(write_message(&mut bytes, *head, &[&body[..half], &body[half..]], chunk));
        }
        let mut reader = reader();
        let mut input = BytesMut::new();
        let mut heard = Vec::new();
        for piece in bytes.chunks(piece) {
            input.extend_from_slice(piece);
            while let Some(message) = reader.next(&mut input).unwrap() {
                heard.push(message);
            }
            prop_assert!(input.len() < HEAD_BYTES_MAX);
        }
        prop_assert!(!reader.is_within() && input.is_empty());
        let expected: Vec<_> = messages.into_iter().map(|(head, body)| Message {
            kind: head.kind,
            timestamp: head.timestamp,
            stream: head.stream,
            body: body.into(),
        }).collect();
        prop_assert_eq!(heard, expected);
    }

    #[test]
    fn any_bytes_pass(bytes in prop::collection::vec(any::<u8>(), 0..600)) {
        let mut reader = reader();
        // Whatever comes of it, and it holds no more than came.
        let result = read(&mut reader, &bytes);
        prop_assert!(result.is_err() || reader.held <= bytes.len());
    }
}
