//! What a character counts as, so that spellings that a reader takes for the same are the same.
//!
//! Letters lose case and accents, wide and ligature forms become plain ones (Unicode's compatibility
//! decomposition), and what one does not see falls away. Scripts written without spaces, and emoji, are
//! *pieces*: each character stands for itself.

use unicode_normalization::char::decompose_compatible;

/// What one folded character is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Shape {
    /// A part of a word.
    Letter(char),
    /// A character that is found by itself and beside its neighbours: Han, kana, Hangul, Thai, emoji.
    Piece(char),
    /// Ends what came before.
    Gap,
}

/// Gives what `c` folds to, in order; nothing where it falls away.
pub(crate) fn fold(c: char, each: &mut impl FnMut(Shape)) {
    if c.is_ascii() {
        return each(if c.is_ascii_alphanumeric() {
            Shape::Letter(c.to_ascii_lowercase())
        } else {
            Shape::Gap
        });
    }
    if is_settled(c) {
        return each(Shape::Piece(c));
    }
    if let Some(plain) = stroked(c) {
        return plain.chars().for_each(|letter| each(Shape::Letter(letter)));
    }
    decompose_compatible(c, |part| {
        if !is_unseen(part) {
            lower(part, each);
        }
    });
}

/// Whether this is a Han character: these are what jieba cuts into words.
pub(crate) fn is_han(c: char) -> bool {
    matches!(c, '\u{4E00}'..='\u{9FFF}' | '\u{3400}'..='\u{4DBF}' | '々' | '〇' | '\u{20000}'..='\u{3FFFF}')
}

fn lower(part: char, each: &mut impl FnMut(Shape)) {
    for c in part.to_lowercase() {
        each(if is_piece(c) {
            Shape::Piece(c)
        } else if c.is_alphanumeric() || is_indic_sign(c) {
            Shape::Letter(stroked(c).and_then(|plain| plain.chars().next()).unwrap_or(c))
        } else {
            Shape::Gap
        });
    }
}

/// Characters that stay as they are. Hangul syllables and kana would come apart, and lose what tells them
/// from their neighbours; for Han it is the quick way.
fn is_settled(c: char) -> bool {
    matches!(c, '\u{4E00}'..='\u{9FFF}' | '\u{AC00}'..='\u{D7A3}' | '\u{3041}'..='\u{3096}' | '\u{30A1}'..='\u{30FA}')
}

fn is_piece(c: char) -> bool {
    is_han(c)
        || is_settled(c)
        || matches!(c,
            '\u{30FC}'..='\u{30FE}' // kana marks of length and repetition
            | '\u{3100}'..='\u{312F}' // Bopomofo
            | '\u{31F0}'..='\u{31FF}' // small kana
            | '\u{0E01}'..='\u{0E4E}' | '\u{0E81}'..='\u{0ECD}' // Thai, Lao
            | '\u{1000}'..='\u{1049}' | '\u{1780}'..='\u{17D3}' // Myanmar, Khmer
            | '\u{231A}'..='\u{231B}' | '\u{23E9}'..='\u{23FA}' | '\u{2600}'..='\u{27BF}'
            | '\u{2B00}'..='\u{2BFF}' | '\u{1F000}'..='\u{1F3FA}' | '\u{1F400}'..='\u{1FAFF}') // emoji
}

/// Marks that a reader does not take for a character of their own: accents, vowel points, joiners,
/// variants and skin tones.
fn is_unseen(c: char) -> bool {
    matches!(c,
        '\u{0300}'..='\u{036F}' | '\u{0591}'..='\u{05C7}' | '\u{0640}' | '\u{064B}'..='\u{065F}' | '\u{0670}'
        | '\u{00AD}' | '\u{200C}'..='\u{200F}' | '\u{2060}' | '\u{FEFF}' | '\u{FE00}'..='\u{FE0F}'
        | '\u{3099}' | '\u{309A}' | '\u{1F3FB}'..='\u{1F3FF}')
}

/// Signs inside the words of Indian scripts that Unicode does not call alphabetic; not their full stops.
fn is_indic_sign(c: char) -> bool {
    matches!(c, '\u{0900}'..='\u{0DFF}') && !matches!(c, '\u{0964}' | '\u{0965}' | '\u{0970}' | '\u{0DF4}')
}

/// Letters that Unicode does not decompose, though people type them without the stroke.
fn stroked(c: char) -> Option<&'static str> {
    Some(match c {
        'ß' | 'ẞ' => "ss",
        'æ' | 'Æ' => "ae",
        'œ' | 'Œ' => "oe",
        'ø' | 'Ø' => "o",
        'đ' | 'Đ' | 'ð' | 'Ð' => "d",
        'ł' | 'Ł' => "l",
        'ı' => "i",
        'þ' | 'Þ' => "th",
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn folded(text: &str) -> String {
        let mut out = String::new();
        for c in text.chars() {
            fold(c, &mut |shape| match shape {
                Shape::Letter(c) => out.push(c),
                Shape::Piece(c) => {
                    out.push('\'');
                    out.push(c);
                }
                Shape::Gap => out.push(' '),
            });
        }
        out
    }

    #[test]
    fn case_accents_and_width_make_no_difference() {
        assert_eq!(folded("Crème BRÛLÉE"), "creme brulee");
        assert_eq!(folded("cre\u{301}me"), "creme");
        assert_eq!(folded("ＡＢＣ１２３"), "abc123");
        assert_eq!(folded("Straße Łódź Øre Æther"), "strasse lodz ore aether");
        assert_eq!(folded("İstanbul ılık"), "istanbul ilik");
        assert_eq!(folded("ﬁne Ωmega ΣΑΣ Ёлка"), "fine ωmega σασ елка");
    }

    #[test]
    fn scripts_without_spaces_are_pieces() {
        assert_eq!(folded("你好"), "'你'好");
        assert_eq!(folded("がｶ한"), "'が'カ'한");
        assert_eq!(folded("豈"), "'豈", "a compatibility form is the plain character");
        assert_eq!(folded("，。！“”·"), "      ");
    }

    #[test]
    fn emoji_are_pieces_whatever_their_tone() {
        assert_eq!(folded("👍🏽"), "'👍");
        assert_eq!(folded("❤\u{FE0F}"), "'❤");
        assert_eq!(folded("👨\u{200D}👩"), "'👨'👩");
    }

    #[test]
    fn words_of_indian_scripts_hold_together() {
        assert!(!folded("हिन्दी").contains(' '));
        assert_eq!(folded("।"), " ");
    }
}
