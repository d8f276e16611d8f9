//! Entries for fuzzing: bytes in, no panic, no answer that is not a frame.

use std::sync::Arc;

use bytes::BytesMut;
use yizhan_hub::{
    Answer, Call, Delivery, Principal, Refused, SessionId,
    access::Rates,
    link::{Durability, Opened, Receipt},
    store::{Missed, Page},
};
use yizhan_talk::{
    Connection as _, Timestamp,
    script::{Script, Scripted},
};

use crate::{
    Config, Connection, Terms,
    wire::{Encoding, Frame, command::Command, script::write_command},
};

/// A frame of commands in JSON.
pub fn fuzz_command_json(bytes: &[u8]) {
    fuzz_command(bytes, Encoding::Json);
}

/// A frame of commands in CBOR.
pub fn fuzz_command_cbor(bytes: &[u8]) {
    fuzz_command(bytes, Encoding::Cbor);
}

/// What is a command stays the same command when it is written again.
fn fuzz_command(bytes: &[u8], encoding: Encoding) {
    for (id, command) in commands(bytes, encoding) {
        for encoding in [Encoding::Json, Encoding::Cbor] {
            let once = written(id, &command, encoding);
            let again = commands(&once, encoding);
            let [(same_id, same)] = &again[..] else { panic!("{command:?} became {again:?}") };
            assert_eq!(*same_id, id, "{command:?}");
            assert_eq!(written(id, same, encoding), once, "{command:?}");
        }
    }
}

fn commands(bytes: &[u8], encoding: Encoding) -> Vec<(Option<u64>, Command)> {
    let mut commands = Vec::new();
    let Ok(mut frame) = Frame::new(encoding, bytes) else { return commands };
    while let Ok(Some((id, read))) = frame.command() {
        commands.extend(read.ok().map(|command| (id, command)));
    }
    commands
}

fn written(id: Option<u64>, command: &Command, encoding: Encoding) -> BytesMut {
    let mut into = BytesMut::new();
    write_command(id, command, &mut into, encoding);
    into
}

/// A talk: the first byte says by which transport, the rest is what the client sends, in pieces.
pub fn fuzz_connection(bytes: &[u8]) {
    let Some((&how, bytes)) = bytes.split_first() else { return };
    let terms = Terms { config: Config::default(), server: "fuzz".into(), subscriptions_max: 10 };
    let (terms, is_cbor) = (Arc::new(terms), how & 2 == 2);
    let mut script: Script<Connection<Scripted<Call, Answer, Delivery>>> = Script::new(|now| match how & 3 {
        0 => Connection::lines(now, terms),
        2 => Connection::messages(now, terms, Encoding::Cbor),
        _ => Connection::messages(now, terms, Encoding::Json),
    });
    for piece in bytes.chunks(usize::from(how >> 2) + 1) {
        if script.is_over() {
            break;
        }
        script = script.client(piece);
        while let Some(call) = script.next_call() {
            let answer = answer(&call);
            script = script.backend(answer);
        }
    }
    assert!(script.is_over() || script.peek(|connection| connection.takes_input()));
    for packet in script.rest().0 {
        assert!(is_cbor || crate::wire::json::check(std::str::from_utf8(&packet).unwrap_or("?")).is_ok());
    }
}

/// Any answer that fits.
fn answer(call: &Call) -> Answer {
    match call {
        Call::Hello(hello) if hello.resume.is_some() => Answer::Refused(Refused::NoSession),
        Call::Hello(hello) => Answer::Opened(Box::new(Opened {
            session: SessionId(1),
            secret: "s".into(),
            principal: Arc::new(Principal {
                user: "u".into(),
                device: hello.device.clone(),
                roles: Arc::default(),
                expires_at: None,
                rates: Rates::default(),
            }),
            resumed: false,
            keep: hello.keep,
            subscriptions: Vec::new(),
            kept: None,
            place: Default::default(),
        })),
        Call::Subscribe(wish) => {
            Answer::Subscribed { id: wish.id, heads: Vec::new(), missed: Missed::Unknown }
        }
        Call::Publish(_) => Answer::Published(Receipt {
            position: None,
            seq: 0,
            at: Timestamp::default(),
            durability: Durability::None,
            duplicate: false,
        }),
        Call::History(..) => {
            Answer::History(Page { records: Vec::new(), through: None, at_end: true, missed: Missed::NONE })
        }
        Call::Ask(ask) => Answer::Told(ask.body.clone()),
        Call::State(..) => Answer::State(Vec::new()),
        Call::PresenceOfTopic(_) | Call::PresenceOfUser(_) => Answer::Present(Vec::new()),
        Call::Prove(_) => Answer::Refused(Refused::NotAdmitted),
        Call::Unsubscribe(_) | Call::Ack(..) | Call::Save | Call::Rest { .. } | Call::Goodbye => Answer::Done,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::wire::tests::command;

    proptest! {
        #[test]
        fn any_bytes_pass(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
            fuzz_command_json(&bytes);
            fuzz_command_cbor(&bytes);
            fuzz_connection(&bytes);
        }

        #[test]
        fn damaged_commands_pass(
            commands in prop::collection::vec(command(), 1..4),
            damage in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..3),
            how: u8,
        ) {
            let encoding = if how & 3 == 2 { Encoding::Cbor } else { Encoding::Json };
            let mut frame = BytesMut::from(&[how][..]);
            for command in &commands {
                frame.extend_from_slice(&written(Some(1), command, encoding));
                frame.extend_from_slice(b"\n");
            }
            for (at, byte) in damage {
                let i = 1 + at.index(frame.len() - 1);
                frame[i] = byte;
            }
            fuzz_command_json(&frame[1..]);
            fuzz_command_cbor(&frame[1..]);
            fuzz_connection(&frame);
        }
    }
}
