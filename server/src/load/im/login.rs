//! People who come back, all at once: each has conversations in which something was said meanwhile.

use std::{
    sync::{
        Mutex,
        atomic::{AtomicU64, AtomicUsize, Ordering::Relaxed},
    },
    time::Instant,
};

use serde_json::json;
use yizhan_probe::ProcessFigures;

use super::{
    super::{
        report::{Latencies, Report, Watched},
        run::Common,
    },
    group::make,
    talk::Talk,
};

/// Members of each group.
const MEMBERS: usize = 200;
/// Clients of the load that make groups and come in at one time.
const AT_ONCE: usize = 32;

/// What is asked.
#[derive(Debug, Clone)]
pub(crate) struct Login {
    pub(crate) users: usize,
    /// Conversations of each.
    pub(crate) conversations: usize,
    /// Messages in each conversation.
    pub(crate) messages: usize,
    /// How many conversations the first question brings.
    pub(crate) page: usize,
    /// The groups are there from an earlier run.
    pub(crate) again: bool,
}

/// Runs jobs 0 to `count` on some threads.
fn share(count: usize, job: impl Fn(usize) -> Result<(), String> + Sync) -> Result<(), String> {
    let (next, failed) = (AtomicUsize::new(0), Mutex::new(None));
    std::thread::scope(|scope| {
        for _ in 0..AT_ONCE.min(count.max(1)) {
            scope.spawn(|| {
                loop {
                    let n = next.fetch_add(1, Relaxed);
                    let stop = n >= count || failed.lock().is_ok_and(|failed| failed.is_some());
                    if stop {
                        return;
                    }
                    if let Err(why) = job(n)
                        && let Ok(mut failed) = failed.lock()
                    {
                        failed.get_or_insert(why);
                    }
                }
            });
        }
    });
    failed.into_inner().ok().flatten().map_or(Ok(()), Err)
}

/// Runs it.
///
/// # Errors
/// The run could not be finished.
pub(crate) fn measure(common: &Common, login: &Login) -> Result<Report, String> {
    // Each group has 200 of the users, in such an order that each user is in so many groups.
    let groups = (login.users * login.conversations).div_ceil(MEMBERS);
    let member = |group: usize, i: usize| (group * MEMBERS + i) % login.users.max(1);
    if !login.again {
        share(groups, |group| {
            let mut talk = Talk::open(&common.target, &format!("host{}", group % 1000))?;
            let members = (0..MEMBERS.min(login.users)).map(|i| format!("back{}", member(group, i)));
            let id = make(&mut talk, &format!("group {group}"), members)?;
            for n in 0..login.messages {
                talk.ask("send", &json!({
                    "conversation": id,
                    "id": format!("{:x}-{n}", std::process::id()),
                    "content": {"kind": "text", "text": format!("message {n} of this group, which is as long as most are")},
                }))?;
            }
            Ok(())
        })?;
    }
    let before = common.pid.and_then(ProcessFigures::of);
    let (latencies, unread) = (Mutex::new(Latencies::new()), AtomicU64::new(0));
    let begun = Instant::now();
    share(login.users, |user| {
        let mut talk = Talk::open(&common.target, &format!("back{user}"))?;
        talk.ask("attach", &json!({"platform": "other", "device": "bench"}))?;
        let asked = Instant::now();
        let list = talk.ask("list", &json!({"limit": login.page}))?;
        let micros = u64::try_from(asked.elapsed().as_micros()).unwrap_or(u64::MAX);
        if let Ok(mut latencies) = latencies.lock() {
            latencies.record(micros, 1);
        }
        unread.fetch_add(list["unread"].as_u64().unwrap_or(0), Relaxed);
        let shown = list["conversations"].as_array().map_or(0, Vec::len);
        let expected = login.page.min(login.conversations);
        // Where users do not divide evenly, the last ones are in a group less.
        if shown + 2 < expected {
            Err(format!("a list had {shown} conversations of {expected}"))
        } else {
            Ok(())
        }
    })?;
    let took = begun.elapsed();
    let after = common.pid.and_then(ProcessFigures::of);
    let server =
        before.zip(after).zip(common.pid).map(|((before, after), pid)| Watched { pid, before, after });
    Ok(Report {
        mode: "im login",
        setting: vec![
            ("users", login.users.into()),
            ("conversations", login.conversations.into()),
            ("messages", login.messages.into()),
            ("page", login.page.into()),
            ("unread", unread.load(Relaxed).into()),
        ],
        took,
        published: 0,
        delivered: login.users as u64,
        lost: 0,
        repeated: 0,
        refused: 0,
        connections: login.users,
        latencies: latencies.into_inner().map_err(|_| "a thread of the load failed")?,
        server,
    })
}
