//! The user's plain words, as what must be in a text.

use crate::{
    cut::{Kind, Unit, Units},
    error::SearchError,
    han::{is_han_unit, segments},
    query::{QUERY_BYTES_MAX, QUERY_WORDS_MAX},
};

/// Something that a text must have: units that stand one after the other.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Wanted {
    pub(crate) units: Vec<Part>,
    /// The last unit is a word of which this may be the beginning.
    pub(crate) open: bool,
}

/// One unit of something wanted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Part {
    pub(crate) text: String,
    pub(crate) shape: PartShape,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum PartShape {
    Word,
    /// A piece; `glued` to the piece before it, with nothing between.
    Piece {
        glued: bool,
    },
}

/// What `text` asks for. Empty when it has no words at all.
pub(crate) fn parse(text: &str) -> Result<Vec<Wanted>, SearchError> {
    if text.len() > QUERY_BYTES_MAX {
        return Err(SearchError::BadQuery("the query is longer than 1024 bytes"));
    }
    let mut all = vec![];
    let segments: Vec<&str> = text.split(is_quote).collect();
    for (at, segment) in segments.iter().enumerate() {
        let units = Units::of(segment);
        let is_last = at + 1 == segments.len();
        // Quotes come in pairs; the last one of an odd number opens nothing, its user still types.
        let is_quoted = at % 2 == 1 && !is_last;
        if is_quoted {
            all.extend(wanted(&units, units.all()));
        } else {
            plain(segment, &units, is_last, &mut all);
        }
    }
    let mut once: Vec<Wanted> = vec![];
    for wanted in all {
        if !once.contains(&wanted) {
            once.push(wanted);
        }
        if once.len() > QUERY_WORDS_MAX {
            return Err(SearchError::BadQuery("the query has more than 32 words"));
        }
    }
    Ok(once)
}

fn is_quote(c: char) -> bool {
    matches!(c, '"' | '“' | '”' | '„' | '«' | '»' | '「' | '」' | '＂')
}

/// Words outside quotes: each for itself, but what is written without a space between (`3.14`, `a@b.c`)
/// stays together.
fn plain(segment: &str, units: &Units, is_last: bool, out: &mut Vec<Wanted>) {
    let all = units.all();
    let mut at = 0;
    while let Some(unit) = all.get(at) {
        let more = &all[at + 1..];
        let end = at
            + 1
            + match unit.kind {
                Kind::Word => count(unit, more, |before, next| {
                    next.kind == Kind::Word && !parted(segment, before, next)
                }),
                Kind::Piece { .. } => {
                    let han = is_han_unit(units, unit);
                    count(unit, more, |_, next| is_glued(next) && is_han_unit(units, next) == han)
                }
            };
        let group = &all[at..end];
        if is_han_unit(units, unit) && group.len() > 1 {
            han(units, group, out);
        } else if let Some(mut wanted) = wanted(units, group) {
            let reaches_end = all[end - 1].end as usize == segment.len();
            wanted.open = unit.kind == Kind::Word && is_last && reaches_end;
            out.push(wanted);
        }
        at = end;
    }
}

/// How many of `more` go on from `unit`, each with the one before it.
fn count(unit: &Unit, more: &[Unit], goes_on: impl Fn(&Unit, &Unit) -> bool) -> usize {
    let mut before = unit;
    more.iter().take_while(|next| goes_on(std::mem::replace(&mut before, next), next)).count()
}

fn parted(segment: &str, before: &Unit, next: &Unit) -> bool {
    // A ligature's letters may overlap in the source; then nothing lies between.
    segment.get(before.end as usize..next.start as usize).is_some_and(|gap| gap.contains(char::is_whitespace))
}

/// A run of Han characters, word by word.
fn han(units: &Units, run: &[Unit], out: &mut Vec<Wanted>) {
    let (Some(first), Some(last)) = (run.first(), run.last()) else { return };
    let mut at = 0;
    for end in segments(units.span(first, last)) {
        out.extend(run.get(at..end).and_then(|word| wanted(units, word)));
        at = end;
    }
}

/// `None` when there are no units.
fn wanted(units: &Units, group: &[Unit]) -> Option<Wanted> {
    let part = |(at, unit): (usize, &Unit)| Part {
        text: units.text(unit).to_owned(),
        shape: match unit.kind {
            Kind::Word => PartShape::Word,
            Kind::Piece { .. } => PartShape::Piece { glued: at > 0 && is_glued(unit) },
        },
    };
    let units: Vec<Part> = group.iter().enumerate().map(part).collect();
    (!units.is_empty()).then_some(Wanted { units, open: false })
}

/// Whether a unit is a piece that follows another one with nothing between.
pub(crate) fn is_glued(unit: &Unit) -> bool {
    matches!(unit.kind, Kind::Piece { first: false, .. })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(text: &str) -> Vec<String> {
        let show = |wanted: Wanted| {
            let mut out = String::new();
            for (at, unit) in wanted.units.iter().enumerate() {
                if at > 0 && unit.shape != (PartShape::Piece { glued: true }) {
                    out.push('+');
                }
                out.push_str(&unit.text);
            }
            if wanted.open { out + "*" } else { out }
        };
        parse(text).unwrap().into_iter().map(show).collect()
    }

    #[test]
    fn the_last_word_may_be_a_beginning() {
        assert_eq!(words("Hello Wor"), ["hello", "wor*"]);
        assert_eq!(words("hello wor "), ["hello", "wor"]);
        assert_eq!(words("hello 世"), ["hello", "世"]);
    }

    #[test]
    fn quotes_hold_a_phrase_together() {
        assert_eq!(words("\"good morning\" all"), ["good+morning", "all*"]);
        assert_eq!(words("“早上好 world”"), ["早上好+world"]);
        assert_eq!(words("\"good morning"), ["good", "morning*"], "a quote that is still open holds nothing");
        assert_eq!(words("\"\"\"\"\""), Vec::<String>::new());
    }

    #[test]
    fn what_is_written_together_stays_together() {
        assert_eq!(words("mail ann@example.com now"), ["mail", "ann+example+com", "now*"]);
        assert_eq!(words("don't"), ["don+t*"]);
    }

    #[test]
    fn chinese_is_cut_into_words() {
        assert_eq!(words("项目的进度"), ["项目", "的", "进度"]);
        assert_eq!(words("南京市长江大桥"), ["南京市", "长江大桥"]);
        assert_eq!(words("iPhone手机壳"), ["iphone", "手机", "壳"]);
        assert_eq!(words("人工智能，机器学习"), ["人工智能", "机器", "学习"]);
        assert_eq!(words("我"), ["我"]);
    }

    #[test]
    fn other_scripts_without_spaces_are_looked_up_whole() {
        assert_eq!(words("สวัสดี"), ["สวัสดี"]);
        assert_eq!(words("こんにちは 안녕"), ["こんにちは", "안녕"]);
        assert_eq!(words("👍🏽"), ["👍"]);
    }

    #[test]
    fn a_word_counts_once() {
        assert_eq!(words("go go go gone"), ["go", "gone*"]);
    }

    #[test]
    fn what_has_no_words_asks_for_nothing() {
        for text in ["", "  ", "?!…。，", "\0\0", "\u{301}", "\u{200D}"] {
            assert_eq!(words(text), Vec::<String>::new(), "{text:?}");
        }
    }

    #[test]
    fn what_is_too_long_is_refused() {
        assert!(matches!(parse(&"a".repeat(100_000)), Err(SearchError::BadQuery(_))));
        let many: String = (0..33).map(|n| format!("w{n} ")).collect();
        assert!(matches!(parse(&many), Err(SearchError::BadQuery(_))));
    }
}
