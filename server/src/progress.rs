//! How far a long work is, on a terminal.

use std::{
    io::{IsTerminal, Write},
    time::{Duration, Instant},
};

use crate::config::units::show_size;

/// How often the bar is drawn again.
const DRAW_EVERY: Duration = Duration::from_millis(100);
/// Characters of the bar.
const BAR_WIDTH: usize = 30;

/// A bar on the error stream; nothing where that is no terminal.
pub(crate) struct Bar {
    what: &'static str,
    terminal: bool,
    drawn_at: Option<Instant>,
}

impl Bar {
    /// A bar that is not drawn yet.
    pub(crate) fn new(what: &'static str) -> Self {
        Self { what, terminal: std::io::stderr().is_terminal(), drawn_at: None }
    }

    /// `done` of `all` bytes.
    pub(crate) fn at(&mut self, done: u64, all: u64) {
        let due = self.drawn_at.is_none_or(|at| at.elapsed() >= DRAW_EVERY) || done >= all;
        if !self.terminal || !due {
            return;
        }
        self.drawn_at = Some(Instant::now());
        // A terminal that is gone needs no bar.
        write!(std::io::stderr(), "\r{}\x1b[K", draw(self.what, done, all)).ok();
    }

    /// Takes the bar away.
    pub(crate) fn finish(self) {
        if self.drawn_at.is_some() {
            write!(std::io::stderr(), "\r\x1b[K").ok();
        }
    }
}

fn draw(what: &str, done: u64, all: u64) -> String {
    let share = if all == 0 { 1.0 } else { (done as f64 / all as f64).min(1.0) };
    let full = (share * BAR_WIDTH as f64).round() as usize;
    let bar = format!("{}{}", "█".repeat(full), "░".repeat(BAR_WIDTH - full));
    // Whole MiB change often enough, and do not jitter.
    let whole = |bytes: u64| show_size(if bytes > 1 << 20 { bytes >> 20 << 20 } else { bytes });
    format!("{what} {bar} {:3.0} %  {} of {}", share * 100.0, whole(done), whole(all))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bar_is_as_long_as_the_work_is_done() {
        let half = draw("checking", 5 << 20, 10 << 20);
        assert!(half.contains("50 %") && half.contains("5MiB of 10MiB"), "{half}");
        assert_eq!(half.matches('█').count(), BAR_WIDTH / 2);
        assert!(draw("x", 0, 0).contains("100 %"));
    }
}
