//! The threads that write: takes that have something to write stand in line for them, each at most once.

use std::{
    collections::VecDeque,
    io,
    sync::Arc,
    thread::{self, JoinHandle},
};

use parking_lot::{Condvar, Mutex};

/// Something that is to be done by a thread that may block.
pub(crate) trait Work: Send + Sync + 'static {
    /// Does what there is. Whether it wants to stand in line again.
    fn work(&self) -> bool;
}

/// A few threads and the line before them.
pub(crate) struct Pool {
    line: Arc<Line>,
    threads: Vec<JoinHandle<()>>,
}

#[derive(Default)]
struct Line {
    inside: Mutex<Inside>,
    some: Condvar,
}

#[derive(Default)]
struct Inside {
    /// As long as there are takes at most, because none stands there twice.
    waiting: VecDeque<Arc<dyn Work>>,
    closed: bool,
}

impl Pool {
    pub(crate) fn new(threads: usize) -> io::Result<Self> {
        let line = Arc::<Line>::default();
        let threads = (0..threads.max(1))
            .map(|number| {
                let line = line.clone();
                thread::Builder::new().name(format!("reel-{number}")).spawn(move || line.run())
            })
            .collect::<io::Result<_>>()?;
        Ok(Self { line, threads })
    }

    /// Puts one in line. The caller sees to it that it does not stand there yet.
    pub(crate) fn stand(&self, work: Arc<dyn Work>) {
        self.line.stand(work);
    }
}

impl Drop for Pool {
    /// Ends when all that stands in line is done.
    fn drop(&mut self) {
        self.line.inside.lock().closed = true;
        self.line.some.notify_all();
        for thread in self.threads.drain(..) {
            if thread.thread().id() != thread::current().id() {
                // One that panicked has said so.
                thread.join().ok();
            }
        }
    }
}

impl Line {
    fn stand(&self, work: Arc<dyn Work>) {
        self.inside.lock().waiting.push_back(work);
        self.some.notify_one();
    }

    fn run(&self) {
        loop {
            let mut inside = self.inside.lock();
            let work = loop {
                if let Some(work) = inside.waiting.pop_front() {
                    break work;
                }
                if inside.closed {
                    return;
                }
                self.some.wait(&mut inside);
            };
            drop(inside);
            if work.work() {
                self.stand(work);
            }
        }
    }
}
