//! One process: fed, read, watched, and surely ended.

use std::{path::Path, process::Stdio, time::Duration};

use bytes::{Bytes, BytesMut};
use rustix::process::{Pid, Signal, kill_process_group, setpriority_process};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    process::{ChildStdin, ChildStdout, Command},
    sync::OwnedSemaphorePermit,
    task::JoinHandle,
    time::timeout,
};
use tracing::debug;

use crate::tail::{Progress, Tail};

/// Bytes that are read at a time.
const READ_BYTES: usize = 64 << 10;
/// How long after its end a child's last words may take.
const LAST_WORDS_WITHIN: Duration = Duration::from_millis(500);

/// What a child is started for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Job {
    /// Its arguments.
    pub args: Vec<String>,
    /// Whether something is written to its input; where not, it has none.
    pub fed: bool,
}

/// How a child ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Exit {
    /// Whether it ended by itself and says that all was well.
    pub ok: bool,
    /// `exit status: 1`, `signal: 9 (SIGKILL)`.
    pub how: String,
    /// What it said last, without secrets.
    pub lines: Vec<String>,
}

impl std::fmt::Display for Exit {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.how)?;
        if let Some(last) = self.lines.last() {
            write!(f, ": {last}")?;
        }
        Ok(())
    }
}

/// A child that runs. Dropping it kills it and whatever it has started.
#[derive(Debug)]
pub struct Child {
    /// Its input, where it has one. Dropping this tells it that nothing more comes.
    pub stdin: Option<ChildStdin>,
    /// Its output; `None` when it was taken.
    pub stdout: Option<ChildStdout>,
    // Before the process: its number is its own until the process is dropped.
    group: Group,
    process: tokio::process::Child,
    tail: Tail,
    listening: JoinHandle<()>,
    /// Its place among the children that may run.
    _permit: OwnedSemaphorePermit,
}

impl Child {
    pub(crate) fn start(
        program: &Path,
        job: Job,
        nice: i32,
        permit: OwnedSemaphorePermit,
    ) -> std::io::Result<Self> {
        let mut command = Command::new(program);
        command
            .args(&job.args)
            .stdin(if job.fed { Stdio::piped() } else { Stdio::null() })
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            // A group of its own: Ctrl-C in the server's terminal is for the server.
            .process_group(0)
            .kill_on_drop(true);
        let mut process = command.spawn()?;
        let pid = process.id().and_then(|id| Pid::from_raw(id.cast_signed()));
        if let (Some(pid), 1..) = (pid, nice)
            && let Err(error) = setpriority_process(Some(pid), nice.min(19))
        {
            debug!(%error, "a child of ffmpeg is no nicer than the server");
        }
        let tail = Tail::default();
        // Piped above, so there is one; a child without it says nothing.
        let listening = match process.stderr.take() {
            Some(stderr) => tokio::spawn(tail.clone().follow(stderr)),
            None => tokio::spawn(std::future::ready(())),
        };
        let (stdin, stdout) = (process.stdin.take(), process.stdout.take());
        Ok(Self { stdin, stdout, process, group: Group(pid), tail, listening, _permit: permit })
    }

    /// Its process id, as long as it runs.
    #[must_use]
    pub fn id(&self) -> Option<u32> {
        self.process.id()
    }

    /// How far it says that it is.
    #[must_use]
    pub fn progress(&self) -> Progress {
        self.tail.progress()
    }

    /// What it said last, without secrets.
    #[must_use]
    pub fn lines(&self) -> Vec<String> {
        self.tail.lines()
    }

    /// Waits for its end. Dropping the future changes nothing.
    pub async fn ended(&mut self) -> Exit {
        let status = self.process.wait().await;
        self.group.forget();
        // What it started and left behind could hold its error output open for ever.
        if !self.listening.is_finished() && timeout(LAST_WORDS_WITHIN, &mut self.listening).await.is_err() {
            self.listening.abort();
        }
        let lines = self.tail.lines();
        match status {
            Ok(status) => Exit { ok: status.success(), how: status.to_string(), lines },
            Err(error) => Exit { ok: false, how: error.to_string(), lines },
        }
    }

    /// Tells it that nothing more comes, gives it `within` to finish what it has, and kills it then. Its output must
    /// have been taken, or be read to its end by now.
    pub async fn finish(mut self, within: Duration) -> Exit {
        self.stdin = None;
        if let Ok(exit) = timeout(within, self.ended()).await {
            return exit;
        }
        self.kill().await
    }

    /// Kills it, and waits until it is gone.
    pub async fn kill(mut self) -> Exit {
        self.group.kill();
        self.ended().await
    }

    /// Gives it all of `input`, and everything it made of that. For small things only: at most `output_max` bytes in
    /// `within`.
    ///
    /// # Errors
    /// It failed, made too much, or took too long; it is gone then.
    pub async fn run(mut self, input: Bytes, output_max: usize, within: Duration) -> Result<Bytes, Exit> {
        let (stdin, stdout) = (self.stdin.take(), self.stdout.take());
        let feed = async move {
            if let Some(mut stdin) = stdin {
                // One that has seen enough closes its input, and is right to.
                drop(stdin.write_all(&input).await);
            }
        };
        let read = async move {
            let mut made = BytesMut::new();
            let Some(mut stdout) = stdout else { return Some(made) };
            loop {
                made.reserve(READ_BYTES);
                match stdout.read_buf(&mut made).await {
                    Ok(0) | Err(_) => return Some(made),
                    Ok(_) if made.len() > output_max => return None,
                    Ok(_) => {}
                }
            }
        };
        let all = async {
            let (made, ()) = tokio::join!(read, feed);
            let exit = if made.is_some() { Some(self.ended().await) } else { None };
            (made, exit)
        };
        let failed = |how: &str, lines| Exit { ok: false, how: how.to_owned(), lines };
        match timeout(within, all).await {
            Ok((Some(made), Some(exit))) => {
                if exit.ok {
                    Ok(made.freeze())
                } else {
                    Err(exit)
                }
            }
            Ok(_) => Err(failed("it made too much", self.kill().await.lines)),
            Err(_) => Err(failed("it took too long", self.kill().await.lines)),
        }
    }
}

impl Drop for Child {
    fn drop(&mut self) {
        self.listening.abort();
    }
}

/// The child's process group, until the child is reaped: then the number may be somebody else's.
#[derive(Debug)]
struct Group(Option<Pid>);

impl Group {
    fn kill(&self) {
        if let Some(pid) = self.0 {
            // One that is gone already is what was wanted.
            kill_process_group(pid, Signal::KILL).ok();
        }
    }

    fn forget(&mut self) {
        self.0 = None;
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        self.kill();
    }
}

#[cfg(test)]
#[path = "tests.rs"]
mod tests;
