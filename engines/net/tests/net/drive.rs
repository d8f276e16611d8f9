//! The shell: order, bounds, deadlines, goodbyes. Time is tokio's and stands still until all wait.

use std::{sync::Arc, time::Duration};

use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream, duplex};
use yizhan_net::{Ended, Limits, Line, drive};
use yizhan_talk::{Again, Close};

use crate::support::{Desk, Lined, Seat, line, read_line, until};

/// A client of a driven line protocol.
struct Talk {
    client: DuplexStream,
    desk: Desk,
    line: Arc<Line>,
    ended: tokio::task::JoinHandle<Ended>,
}

fn talk(limits: Limits, pipe_bytes: usize) -> Talk {
    let (client, server) = duplex(pipe_bytes);
    let (desk, line) = (Desk::default(), line(limits));
    let ended = tokio::spawn(drive(server, Lined::default(), Seat(desk.clone()), Arc::clone(&line)));
    Talk { client, desk, line, ended }
}

impl Talk {
    async fn send(&mut self, text: &str) {
        self.client.write_all(text.as_bytes()).await.unwrap();
    }

    async fn hears(&mut self, lines: &[&str]) {
        for line in lines {
            assert_eq!(read_line(&mut self.client).await, *line);
        }
    }

    async fn hears_the_end(&mut self) {
        let mut rest = String::new();
        self.client.read_to_string(&mut rest).await.unwrap();
        assert_eq!(rest, "");
    }
}

#[tokio::test(start_paused = true)]
async fn packets_may_come_in_any_pieces() {
    let mut talk = talk(Limits::default(), 4096);
    talk.send("say one\nsay tw").await;
    talk.hears(&["one"]).await;
    talk.send("o\n").await;
    talk.hears(&["two"]).await;
    for byte in b"say three\n" {
        talk.client.write_all(&[*byte]).await.unwrap();
        tokio::task::yield_now().await;
    }
    talk.hears(&["three"]).await;
    assert_eq!(talk.line.meters().bytes_in.value(), 26);
}

#[tokio::test(start_paused = true)]
async fn answers_come_in_the_order_of_the_calls() {
    let mut talk = talk(Limits::default(), 4096);
    talk.send("later a\nnow b\nlater c\nnow d\nsay at once\n").await;
    talk.hears(&["at once"]).await;
    assert_eq!(talk.desk.calls(), ["a", "b", "c", "d"]);
    talk.desk.answer();
    talk.hears(&["= a", "= b"]).await;
    talk.desk.answer();
    talk.hears(&["= c", "= d"]).await;
}

#[tokio::test(start_paused = true)]
async fn answers_come_before_deliveries_that_are_ready_at_the_same_moment() {
    let mut talk = talk(Limits::default(), 4096);
    talk.send("later a\nsay sent\n").await;
    talk.hears(&["sent"]).await;
    talk.desk.deliver("news");
    talk.desk.answer();
    talk.hears(&["= a", "> news"]).await;
}

#[tokio::test(start_paused = true)]
async fn deliveries_of_one_moment_are_one_write() {
    let mut talk = talk(Limits::default(), 1 << 20);
    for i in 0..300 {
        talk.desk.deliver(format!("{i}"));
    }
    for i in 0..300 {
        talk.hears(&[&format!("> {i}")]).await;
    }
    let meters = talk.line.meters();
    assert_eq!((meters.deliveries.value(), meters.writes.value()), (300, 1));
    assert_eq!(meters.write.snapshot().count(), 1);
}

#[tokio::test(start_paused = true)]
async fn more_than_one_turn_takes_loses_nothing() {
    let mut talk = talk(Limits::default(), 1 << 20);
    for i in 0..5000 {
        talk.desk.deliver(format!("{i} {}", "x".repeat(i % 100)));
    }
    for i in 0..5000 {
        talk.hears(&[&format!("> {i} {}", "x".repeat(i % 100))]).await;
    }
}

#[tokio::test(start_paused = true)]
async fn while_the_client_does_not_read_no_deliveries_are_taken() {
    let mut talk = talk(Limits::default(), 64);
    talk.desk.deliver("x".repeat(500));
    until("the first is taken", || talk.desk.taken() == 1).await;
    for i in 0..10 {
        talk.desk.deliver(format!("{i}"));
    }
    tokio::time::sleep(Duration::from_secs(5)).await;
    assert_eq!(talk.desk.taken(), 1, "the backend keeps the rest, and its policy decides");
    talk.hears(&[&format!("> {}", "x".repeat(500))]).await;
    for i in 0..10 {
        talk.hears(&[&format!("> {i}")]).await;
    }
}

#[tokio::test(start_paused = true)]
async fn who_takes_nothing_for_too_long_is_cut_off() {
    let limits = Limits { write_stall_max: Duration::from_secs(10), ..Limits::default() };
    let mut talk = talk(limits, 64);
    talk.desk.deliver("x".repeat(500));
    // Reading a little now and then is progress.
    for _ in 0..3 {
        tokio::time::sleep(Duration::from_secs(8)).await;
        let mut some = [0; 40];
        talk.client.read_exact(&mut some).await.unwrap();
    }
    assert_eq!(talk.ended.await.unwrap(), Ended::Closed(Close::TOO_SLOW));
    assert_eq!(talk.desk.gone(), 1);
    assert_eq!(talk.line.meters().closes(), [(4010, 1)]);
}

#[tokio::test(start_paused = true)]
async fn a_packet_must_be_complete_in_time() {
    let limits = Limits { packet_within: Duration::from_secs(10), ..Limits::default() };
    let mut talk = talk(limits, 4096);
    talk.send("say fine\nsay n").await;
    talk.hears(&["fine"]).await;
    // Drop by drop does not help.
    for _ in 0..4 {
        tokio::time::sleep(Duration::from_secs(2)).await;
        talk.send("n").await;
    }
    talk.hears(&["bye 1002"]).await;
    talk.hears_the_end().await;
    drop(talk.client);
    let ended = talk.ended.await.unwrap();
    assert!(matches!(ended, Ended::Closed(close) if close.code == 1002 && close.again == Again::Soon));
}

#[tokio::test(start_paused = true)]
async fn a_new_packet_has_its_own_time() {
    let limits = Limits { packet_within: Duration::from_secs(10), ..Limits::default() };
    let mut talk = talk(limits, 4096);
    talk.send("say 0").await;
    for i in 0..5 {
        tokio::time::sleep(Duration::from_secs(8)).await;
        talk.send(&format!("\nsay {}", i + 1)).await;
        talk.hears(&[&i.to_string()]).await;
    }
}

#[tokio::test(start_paused = true)]
async fn so_many_calls_may_wait_and_then_nothing_is_read() {
    let limits = Limits { calls_max: 3, packet_within: Duration::from_secs(10), ..Limits::default() };
    let mut talk = talk(limits, 4096);
    for i in 0..3 {
        talk.send(&format!("later {i}\n")).await;
        until("it is called", || talk.desk.calls().len() == i + 1).await;
    }
    talk.send("later 3\nsay unheard\nlater 4").await;
    // What waits for us is not the client's delay.
    tokio::time::sleep(Duration::from_secs(60)).await;
    assert_eq!(talk.desk.calls().len(), 3);
    talk.desk.answer();
    talk.hears(&["= 0", "unheard"]).await;
    talk.send("\n").await;
    for i in 1..5 {
        talk.desk.answer();
        talk.hears(&[&format!("= {i}")]).await;
    }
}

#[tokio::test(start_paused = true)]
async fn replies_pile_up_only_so_far() {
    let limits = Limits { reply_bytes_max: 1000, ..Limits::default() };
    let mut talk = talk(limits, 64);
    let (mut from, mut to) = tokio::io::split(talk.client);
    let writer = tokio::spawn(async move {
        for i in 0..1000 {
            to.write_all(format!("say {i}\n").as_bytes()).await.unwrap();
        }
        to
    });
    tokio::time::sleep(Duration::from_secs(5)).await;
    let read = talk.line.meters().bytes_in.value();
    assert!(read < 3000, "{read} bytes were read of a client that reads nothing");
    for i in 0..1000 {
        assert_eq!(read_line(&mut from).await, i.to_string());
    }
    talk.client = from.unsplit(writer.await.unwrap());
    talk.send("say still here\n").await;
    talk.hears(&["still here"]).await;
}

#[tokio::test(start_paused = true)]
async fn a_reply_larger_than_all_bounds_holds_input_back_only_until_it_is_written() {
    let limits = Limits { reply_bytes_max: 1000, ..Limits::default() };
    let mut talk = talk(limits, 1 << 20);
    let long = "x".repeat(3000);
    for _ in 0..20 {
        talk.send(&format!("say {long}\n")).await;
    }
    for _ in 0..20 {
        talk.hears(&[&long]).await;
    }
}

#[tokio::test(start_paused = true)]
async fn the_connections_own_deadline_is_kept() {
    let mut talk = talk(Limits::default(), 4096);
    let began = tokio::time::Instant::now();
    talk.send("alarm 3\n").await;
    talk.hears(&["ring"]).await;
    assert_eq!(began.elapsed().as_secs(), 3);
    talk.send("alarm 100\nalarm 7\n").await;
    talk.hears(&["ring"]).await;
    assert_eq!(began.elapsed().as_secs(), 10);
    // A later deadline than the one that is set: the timer fires in between for nothing.
    talk.send("alarm 5\n").await;
    tokio::time::sleep(Duration::from_secs(1)).await;
    talk.send("alarm 20\n").await;
    talk.hears(&["ring"]).await;
    assert_eq!(began.elapsed().as_secs(), 31);
}

#[tokio::test(start_paused = true)]
async fn a_goodbye_waits_for_the_answers_that_are_owed() {
    let mut talk = talk(Limits::default(), 4096);
    talk.send("later a\nsay sent\n").await;
    talk.hears(&["sent"]).await;
    talk.line.leave(Close::GOING_AWAY);
    tokio::time::sleep(Duration::from_secs(1)).await;
    talk.send("later too late\n").await;
    talk.desk.answer();
    talk.hears(&["= a", "bye 1001"]).await;
    talk.hears_the_end().await;
    assert_eq!(talk.desk.calls(), ["a"]);
    drop(talk.client);
    assert_eq!(talk.ended.await.unwrap(), Ended::Closed(Close::GOING_AWAY));
}

#[tokio::test(start_paused = true)]
async fn a_goodbye_does_not_wait_for_ever() {
    let limits = Limits { close_within: Duration::from_secs(5), ..Limits::default() };
    let mut talk = talk(limits, 4096);
    talk.send("later a\nsay sent\n").await;
    talk.hears(&["sent"]).await;
    talk.line.leave(Close::KICKED);
    let began = tokio::time::Instant::now();
    talk.hears(&["bye 4030"]).await;
    assert_eq!(began.elapsed().as_secs(), 5);
    assert_eq!(talk.ended.await.unwrap(), Ended::Closed(Close::KICKED));
    assert_eq!(began.elapsed().as_secs(), 10, "and then for the client to end its side");
}

#[tokio::test(start_paused = true)]
async fn a_cut_needs_no_words() {
    let mut talk = talk(Limits::default(), 4096);
    talk.send("later a\n").await;
    until("it is called", || talk.desk.calls().len() == 1).await;
    talk.line.cut();
    talk.hears_the_end().await;
    assert_eq!(talk.ended.await.unwrap(), Ended::Cut);
    assert_eq!(talk.desk.gone(), 1);
}

#[tokio::test(start_paused = true)]
async fn who_has_ended_its_side_still_gets_its_answers() {
    let mut talk = talk(Limits::default(), 4096);
    talk.send("later a\nnow b\n").await;
    talk.client.shutdown().await.unwrap();
    tokio::time::sleep(Duration::from_secs(1)).await;
    talk.desk.answer();
    talk.hears(&["= a", "= b"]).await;
    talk.hears_the_end().await;
    assert_eq!(talk.ended.await.unwrap(), Ended::Left);
    assert_eq!(talk.line.meters().closes(), [(0, 1)]);
}

#[tokio::test(start_paused = true)]
async fn a_fault_is_told_and_ends_the_talk() {
    let mut talk = talk(Limits::default(), 4096);
    talk.send("now before\nnonsense\nnow after\n").await;
    talk.hears(&["what?", "= before"]).await;
    talk.hears_the_end().await;
    drop(talk.client);
    assert_eq!(talk.ended.await.unwrap(), Ended::Closed(Close::PROTOCOL));
    assert_eq!(talk.desk.calls(), ["before"]);
}

#[tokio::test(start_paused = true)]
async fn the_last_words_are_heard_by_who_is_still_sending() {
    let talk = talk(Limits::default(), 64);
    let (mut from, mut to) = tokio::io::split(talk.client);
    let writer = tokio::spawn(async move {
        to.write_all(b"quit\n").await.unwrap();
        while to.write_all(&[b'x'; 1000]).await.is_ok() {}
    });
    assert_eq!(read_line(&mut from).await, "goodbye");
    let mut rest = Vec::new();
    from.read_to_end(&mut rest).await.unwrap();
    writer.await.unwrap();
    assert_eq!(talk.ended.await.unwrap(), Ended::Closed(Close::NORMAL));
    talk.desk.deliver("nobody is there");
}

#[tokio::test(start_paused = true)]
async fn the_backend_is_dropped_when_the_client_is_gone() {
    let talk = talk(Limits::default(), 64);
    drop(talk.client);
    assert_eq!(talk.ended.await.unwrap(), Ended::Left);
    assert_eq!(talk.desk.gone(), 1);
}

#[test]
fn an_idle_connection_is_small() {
    use yizhan_net::{Drive, Stream, websocket::Framed};
    let sizes = [
        size_of::<Drive<Stream, Lined>>() - size_of::<Lined>(),
        size_of::<Drive<Stream, Framed<Lined>>>() - size_of::<Lined>(),
        size_of::<Line>(),
    ];
    println!("bytes: a driven stream {}, as a WebSocket {}, its line {}", sizes[0], sizes[1], sizes[2]);
    assert!(sizes[1] + sizes[2] < 1024, "{sizes:?}: each connection pays for it");
}
