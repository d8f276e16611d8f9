//! Search: how long it takes until something that was said is found, and how long a question takes.

use std::time::{Duration, Instant};

use serde_json::json;
use yizhan_probe::ProcessFigures;

use super::{
    super::{
        report::{Latencies, Report, Watched},
        run::Common,
    },
    account,
    talk::Talk,
};

/// Words that messages are made of.
const WORDS: [&str; 16] = [
    "meeting",
    "tomorrow",
    "会议",
    "明天",
    "季度",
    "报告",
    "report",
    "price",
    "天气",
    "服务器",
    "deploy",
    "发布",
    "coffee",
    "咖啡",
    "train",
    "火车站",
];
/// How long something new may take until it is found.
const FOUND_WITHIN: Duration = Duration::from_secs(30);

/// What is asked.
#[derive(Debug, Clone)]
pub(crate) struct Search {
    /// Messages that are sent before.
    pub(crate) messages: usize,
    pub(crate) questions: usize,
}

/// Runs it.
///
/// # Errors
/// The run could not be finished, or something was not found.
pub(crate) fn measure(common: &Common, search: &Search) -> Result<Report, String> {
    let mut talk = Talk::open(&common.target, "seeker")?;
    let entry = talk.ask("open", &json!({"user": account("sought")}))?;
    let id = entry["id"].as_str().ok_or("no conversation was opened")?.to_owned();
    let run = std::process::id();
    let send = |talk: &mut Talk, n: usize, text: &str| {
        let content = json!({"kind": "text", "text": text});
        talk.ask("send", &json!({"conversation": id, "id": format!("{run:x}-{n}"), "content": content}))
    };
    let word = |n: usize| WORDS[n % WORDS.len()];
    for n in 0..search.messages {
        let text =
            format!("{} {} {}，{} 第{n}次", word(n), word(n / 3 + 5), word(n / 7 + 2), word(n * 5 + 1));
        send(&mut talk, n, &text)?;
    }
    let last = format!("needle{run:x}");
    send(&mut talk, search.messages, &format!("the last one: {last}"))?;
    let said = Instant::now();
    while talk.ask("search", &json!({"text": last}))?["hits"].as_array().is_none_or(Vec::is_empty) {
        if said.elapsed() > FOUND_WITHIN {
            return Err("what was said last is not found".to_owned());
        }
        std::thread::sleep(Duration::from_millis(20));
    }
    let found_after = said.elapsed();
    let before = common.pid.and_then(ProcessFigures::of);
    let (mut latencies, begun) = (Latencies::new(), Instant::now());
    for n in 0..search.questions {
        let text = if n % 2 == 0 { word(n).to_owned() } else { format!("{} {}", word(n), word(n / 2 + 3)) };
        let asked = Instant::now();
        talk.ask("search", &json!({"text": text, "limit": 20}))?;
        latencies.record(u64::try_from(asked.elapsed().as_micros()).unwrap_or(u64::MAX), 1);
    }
    let took = begun.elapsed();
    let after = common.pid.and_then(ProcessFigures::of);
    let server =
        before.zip(after).zip(common.pid).map(|((before, after), pid)| Watched { pid, before, after });
    Ok(Report {
        mode: "im search",
        setting: vec![
            ("messages", search.messages.into()),
            ("found_after_ms", u64::try_from(found_after.as_millis()).unwrap_or(u64::MAX).into()),
        ],
        took,
        published: 0,
        delivered: search.questions as u64,
        lost: 0,
        repeated: 0,
        refused: 0,
        connections: 1,
        latencies,
        server,
    })
}
