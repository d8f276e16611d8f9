//! UTF-8 that comes in pieces.

/// Checks UTF-8 piece by piece, and fails at the first byte that no continuation could mend.
#[derive(Debug, Default, Clone)]
pub(crate) struct Utf8 {
    /// The beginning of a character that the last piece cut.
    cut: [u8; 4],
    len: u8,
}

/// The text is not UTF-8.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct NotUtf8;

impl Utf8 {
    pub(crate) fn push(&mut self, mut piece: &[u8]) -> Result<(), NotUtf8> {
        while self.len > 0 {
            let [byte, rest @ ..] = piece else { return Ok(()) };
            self.cut[usize::from(self.len)] = *byte;
            self.len += 1;
            piece = rest;
            match std::str::from_utf8(&self.cut[..usize::from(self.len)]) {
                Ok(_) => self.len = 0,
                // A character has at most four bytes, so `cut` is never too short.
                Err(error) if error.error_len().is_none() => {}
                Err(_) => return Err(NotUtf8),
            }
        }
        match std::str::from_utf8(piece) {
            Ok(_) => Ok(()),
            Err(error) if error.error_len().is_none() => {
                let rest = &piece[error.valid_up_to()..];
                self.cut[..rest.len()].copy_from_slice(rest);
                self.len = rest.len() as u8;
                Ok(())
            }
            Err(_) => Err(NotUtf8),
        }
    }

    /// Whether the text may end here.
    pub(crate) fn is_whole(&self) -> bool {
        self.len == 0
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn check(bytes: &[u8], cuts: &[usize]) -> bool {
        let mut utf8 = Utf8::default();
        let mut from = 0;
        for cut in cuts.iter().copied().chain([bytes.len()]) {
            let to = cut.clamp(from, bytes.len());
            if utf8.push(&bytes[from..to]).is_err() {
                return false;
            }
            from = to;
        }
        utf8.is_whole()
    }

    proptest! {
        #[test]
        fn pieces_are_judged_like_the_whole(
            text in ".*", noise in prop::collection::vec(any::<u8>(), 0..4), at in any::<prop::sample::Index>(),
            mut cuts in prop::collection::vec(0usize..60, 0..8),
        ) {
            cuts.sort_unstable();
            let mut bytes = text.into_bytes();
            let at = if bytes.is_empty() { 0 } else { at.index(bytes.len()) };
            bytes.splice(at..at, noise);
            prop_assert_eq!(check(&bytes, &cuts), std::str::from_utf8(&bytes).is_ok());
        }
    }

    #[test]
    fn it_fails_at_the_first_hopeless_byte() {
        let mut utf8 = Utf8::default();
        assert_eq!(utf8.push(b"\xf4"), Ok(()));
        assert_eq!(utf8.push(b"\x90"), Err(NotUtf8), "beyond U+10FFFF");
    }
}
