//! FLAC (RFC 9639).

use super::{Looked, milliseconds};
use crate::source::Source;

pub(super) fn look(source: &mut Source) -> Looked {
    // 8.2: STREAMINFO is the first block; 20 bits of rate, 3 of channels, 5 of depth, 36 of samples.
    let facts = source.be64(18).map(|bits| (bits >> 44, bits & 0xf_ffff_ffff));
    let duration =
        facts.filter(|&(_, samples)| samples > 0).and_then(|(rate, samples)| milliseconds(samples, rate));
    Looked::sound("audio/flac", duration)
}
