//! Going through a segment that nobody writes to, damage and all.

use std::{io, sync::Arc};

use crate::{
    codec::Frame,
    files::File,
    segment::{HEADER_BYTES, Scan, Segment, Step},
};

/// What stands in a segment.
pub(crate) enum Found<'a> {
    /// A record that is as it was written, and its body.
    Frame(Frame<'a>, &'a [u8]),
    /// Something acknowledged that is not what was written, from this logical offset on.
    Damage(u64, String),
    /// So many bytes, from this logical offset on, of a write that a crash cut off.
    Torn(u64, u64),
}

/// Shows all that stands in a segment, in order. `next` is where the next segment begins.
pub(crate) fn survey(
    segment: &Segment,
    file: &Arc<dyn File>,
    next: Option<u64>,
    mut each: impl FnMut(Found<'_>) -> io::Result<()>,
) -> io::Result<()> {
    let room_end = segment.base + file.len()?.saturating_sub(HEADER_BYTES);
    let end = next.unwrap_or(room_end);
    let mut scan = Scan::new(segment, file.clone(), segment.base, end.min(room_end));
    loop {
        let at = scan.at();
        let why = match scan.step()? {
            Step::Frame(frame, body) => {
                each(Found::Frame(frame, body))?;
                continue;
            }
            Step::End if at >= end => return Ok(()),
            Step::End => "a record is missing".to_owned(),
            Step::Bad(bad) => bad.to_string(),
        };
        let mut look = Scan::new(segment, file.clone(), at, room_end.min(end));
        let Some(last) = look.last_written()?.or_else(|| next.map(|next| next - 1)) else { return Ok(()) };
        let mut look = Scan::new(segment, file.clone(), at, (last + 1).min(room_end));
        // In front of another segment everything was safe. Else a later group must say so.
        let (mut first, mut proven) = (None, next.is_some());
        while let Some((found, preamble)) = look.next_frame()? {
            first.get_or_insert(found);
            proven |= preamble.group > at;
            if proven {
                break;
            }
        }
        if !proven {
            return each(Found::Torn(at, last + 1 - at));
        }
        each(Found::Damage(at, why))?;
        match first {
            Some(first) => scan.skip_to(first),
            None => return Ok(()),
        }
    }
}
