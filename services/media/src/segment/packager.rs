//! Takes frames, gives parts and segments.

use std::sync::Arc;

use super::{
    cut::Cut,
    piece::Piece,
    run::{Fit, Run},
};
use crate::frame::{Frame, Kind};

/// One broadcast's packager. Begins with the first frame that a viewer may begin with.
#[derive(Debug)]
pub struct Packager {
    cut: Cut,
    /// The broadcast's time that counts as 0; `None`: that of the first frame that comes.
    origin: Option<i64>,
    not_before: i64,
    sequence: u64,
    /// Something came out of it: what begins another run is a discontinuity.
    begun: bool,
    run: Option<Run>,
}

impl Packager {
    /// Begins with segment 0, and keeps the broadcast's clock.
    #[must_use]
    pub fn new(cut: Cut) -> Self {
        Self::joining(cut, 0, i64::MIN)
    }

    /// Begins with this number at the first key frame that is decoded at `not_before` (microseconds on the broadcast's
    /// clock) or later: a rung that joins its source, where a segment of the source begins.
    #[must_use]
    pub fn joining(cut: Cut, sequence: u64, not_before: i64) -> Self {
        Self { cut, origin: Some(0), not_before, sequence, begun: false, run: None }
    }

    /// Counts time from its first frame on: for files.
    #[must_use]
    pub fn from_zero(cut: Cut) -> Self {
        Self { origin: None, ..Self::new(cut) }
    }

    /// Takes a frame; what is done with it goes to `out`. Data frames are not for segments and are passed over.
    pub fn push(&mut self, frame: &Arc<Frame>, out: &mut Vec<Piece>) {
        if frame.kind == Kind::Data {
            return;
        }
        match self.run.as_mut().map(|run| run.fits(&frame.setup)) {
            None | Some(Fit::Same) => {}
            Some(Fit::Grown) => {
                if let Some(run) = &mut self.run {
                    run.grow(&frame.setup);
                }
            }
            // Sound of the new kind has to wait.
            Some(Fit::AtKey) if frame.kind == Kind::Audio => return,
            Some(Fit::AtKey) if !frame.joins() => {}
            Some(Fit::AtKey | Fit::Other) => self.close(Some(frame.dts), out),
        }
        if self.run.is_none() {
            if !frame.joins() || frame.dts < self.not_before {
                return;
            }
            self.not_before = i64::MIN;
            let origin = *self.origin.get_or_insert(frame.dts);
            self.run = Some(Run::new(frame, origin, self.sequence, self.begun));
        }
        if let Some(run) = &mut self.run {
            run.push(&self.cut, frame, out);
        }
    }

    /// Frames are missing, or none come for a while: ends the part and the segment that are open. What comes next begins
    /// with a discontinuity.
    pub fn lost(&mut self, out: &mut Vec<Piece>) {
        self.close(None, out);
    }

    /// The broadcast has ended: as [`lost`](Self::lost).
    pub fn finish(&mut self, out: &mut Vec<Piece>) {
        self.close(None, out);
    }

    /// The rule that it cuts by.
    #[must_use]
    pub fn cut(&self) -> Cut {
        self.cut
    }

    fn close(&mut self, until: Option<i64>, out: &mut Vec<Piece>) {
        let Some(mut run) = self.run.take() else { return };
        let before = out.len();
        run.finish(until, out);
        let gave = out.len() > before;
        self.begun |= run.has_given();
        self.sequence = run.sequence() + u64::from(gave);
    }
}
