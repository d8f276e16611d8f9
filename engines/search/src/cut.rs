//! A text cut into units: words, and pieces of scripts written without spaces.
//!
//! What is indexed, what is asked for and what is highlighted come from the same cut, so they agree.

use crate::fold::{Shape, fold};

/// Characters of a word that count; longer ones (keys, encoded files) are known by their beginning.
pub(crate) const WORD_CHARS_MAX: usize = 64;

/// One unit: where it is in the folded text and in the source, in bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Unit {
    from: u32,
    to: u32,
    /// Where it begins in the source.
    pub(crate) start: u32,
    /// Where it ends in the source, on a character's border.
    pub(crate) end: u32,
    pub(crate) kind: Kind,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Word,
    /// One character; `first` and `last` of the run of pieces it stands in.
    Piece {
        first: bool,
        last: bool,
    },
}

/// The units of one text. It is meant to be used again and again, so that it allocates rarely.
#[derive(Clone, Debug, Default)]
pub(crate) struct Units {
    folded: String,
    all: Vec<Unit>,
    chars: usize,
}

impl Units {
    /// The units of `text`.
    pub(crate) fn of(text: &str) -> Self {
        let mut units = Self::default();
        units.read(text);
        units
    }

    /// Forgets what was there and cuts `text`.
    pub(crate) fn read(&mut self, text: &str) {
        self.folded.clear();
        self.all.clear();
        let mut open = Open::Nothing;
        for (start, c) in text.char_indices() {
            let (start, end) = (start as u32, (start + c.len_utf8()) as u32);
            let mut fell_away = true;
            fold(c, &mut |shape| {
                fell_away = false;
                open = match shape {
                    Shape::Letter(letter) => self.letter(letter, start, end, open),
                    Shape::Piece(piece) => self.piece(piece, start, end, open),
                    Shape::Gap => Open::Nothing,
                };
            });
            // An accent or a joiner belongs to the character before it.
            if fell_away
                && open != Open::Nothing
                && let Some(unit) = self.all.last_mut()
            {
                unit.end = end;
            }
        }
    }

    pub(crate) fn all(&self) -> &[Unit] {
        &self.all
    }

    /// The folded text of a unit.
    pub(crate) fn text(&self, unit: &Unit) -> &str {
        &self.folded[unit.from as usize..unit.to as usize]
    }

    /// The folded text from the beginning of one unit to the end of a later one of the same run.
    pub(crate) fn span(&self, first: &Unit, last: &Unit) -> &str {
        &self.folded[first.from as usize..last.to as usize]
    }

    fn letter(&mut self, letter: char, start: u32, end: u32, open: Open) -> Open {
        let from = self.folded.len() as u32;
        match self.all.last_mut() {
            Some(word) if open == Open::Word => {
                word.end = end;
                self.chars += 1;
                if self.chars <= WORD_CHARS_MAX {
                    self.folded.push(letter);
                    word.to = self.folded.len() as u32;
                }
            }
            _ => {
                self.chars = 1;
                self.folded.push(letter);
                self.all.push(Unit { from, to: self.folded.len() as u32, start, end, kind: Kind::Word });
            }
        }
        Open::Word
    }

    fn piece(&mut self, piece: char, start: u32, end: u32, open: Open) -> Open {
        if open == Open::Run
            && let Some(Unit { kind: Kind::Piece { last, .. }, .. }) = self.all.last_mut()
        {
            *last = false;
        }
        let from = self.folded.len() as u32;
        self.folded.push(piece);
        let kind = Kind::Piece { first: open != Open::Run, last: true };
        self.all.push(Unit { from, to: self.folded.len() as u32, start, end, kind });
        Open::Run
    }
}

/// What the next character may go on with.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Open {
    Nothing,
    Word,
    Run,
}

/// As much of `text` as fits into `bytes`, whole characters only.
pub(crate) fn beginning(text: &str, bytes: usize) -> &str {
    &text[..text.floor_char_boundary(bytes)]
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn cut(text: &str) -> Vec<(String, &str)> {
        let units = Units::of(text);
        let source = |unit: &Unit| &text[unit.start as usize..unit.end as usize];
        units.all().iter().map(|unit| (units.text(unit).to_owned(), source(unit))).collect()
    }

    #[test]
    fn words_and_pieces_know_where_they_are_in_the_source() {
        let expected = [("iphone", "iPhone"), ("手", "手"), ("机", "机"), ("creme", "cre\u{301}me")];
        assert_eq!(cut("iPhone手机, cre\u{301}me").len(), 4);
        for ((folded, source), (want, from)) in cut("iPhone手机, cre\u{301}me").iter().zip(expected) {
            assert_eq!((folded.as_str(), *source), (want, from));
        }
    }

    #[test]
    fn a_run_of_pieces_ends_at_a_gap_or_a_word() {
        let units = Units::of("你好，世a界");
        let kinds: Vec<_> = units.all().iter().map(|unit| unit.kind).collect();
        let piece = |first, last| Kind::Piece { first, last };
        let expected =
            [piece(true, false), piece(false, true), piece(true, true), Kind::Word, piece(true, true)];
        assert_eq!(kinds, expected);
    }

    #[test]
    fn a_very_long_word_is_known_by_its_beginning() {
        let long = "x".repeat(10_000);
        assert_eq!(cut(&long), [("x".repeat(WORD_CHARS_MAX), long.as_str())]);
    }

    proptest! {
        #[test]
        fn units_of_any_text_lie_on_its_characters_in_order(text in "\\PC{0,60}|[a-zé中文😀👍🏽\u{301}\u{0} ，]{0,60}") {
            let units = Units::of(&text);
            let mut end = 0;
            for unit in units.all() {
                prop_assert!(text.get(unit.start as usize..unit.end as usize).is_some());
                prop_assert!(!units.text(unit).is_empty());
                // A ligature gives two words' letters in one source character, so places may be equal.
                prop_assert!(unit.start as usize >= end || unit.end as usize >= end);
                end = unit.end as usize;
            }
        }
    }
}
