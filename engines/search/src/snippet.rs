//! The part of a text that shows why it was found.

use crate::{
    cut::{Kind, Unit, Units},
    words::{PartShape, Wanted, is_glued},
};

/// Characters of a snippet, without the `…` at its ends.
const SNIPPET_CHARS_MAX: usize = 160;

/// Characters that are shown before the first match.
const LEAD_CHARS: usize = 30;

/// Ranges to highlight in one snippet; those after are not marked.
const MARKS_MAX: usize = 64;

/// The snippet and what to highlight in it, as ranges of its bytes.
pub(crate) fn snippet(text: &str, wanted: &[Wanted]) -> (String, Vec<(usize, usize)>) {
    let marks = marks(text, wanted);
    let (from, to) = window(text, &marks);
    let lead = if from > 0 { "…" } else { "" };
    let tail = if to < text.len() { "…" } else { "" };
    let shift = |(start, end): (usize, usize)| {
        (start >= from && start < to).then(|| (start - from + lead.len(), end.min(to) - from + lead.len()))
    };
    let marks = marks.into_iter().filter_map(shift).take(MARKS_MAX).collect();
    (format!("{lead}{}{tail}", &text[from..to]), marks)
}

/// Where the words are in the text: in order, apart, on characters' borders.
fn marks(text: &str, wanted: &[Wanted]) -> Vec<(usize, usize)> {
    let units = Units::of(text);
    let all = units.all();
    let mut found: Vec<(usize, usize)> = vec![];
    for wanted in wanted {
        for window in all.windows(wanted.units.len().max(1)) {
            if stands(&units, window, wanted)
                && let (Some(first), Some(last)) = (window.first(), window.last())
            {
                found.push((first.start as usize, last.end as usize));
            }
        }
    }
    found.sort_unstable();
    let mut merged: Vec<(usize, usize)> = vec![];
    for (start, end) in found {
        match merged.last_mut() {
            Some(before) if start <= before.1 => before.1 = before.1.max(end),
            _ => merged.push((start, end)),
        }
    }
    merged
}

fn stands(units: &Units, window: &[Unit], wanted: &Wanted) -> bool {
    let last = wanted.units.len() - 1;
    wanted.units.iter().zip(window).enumerate().all(|(at, (part, unit))| {
        let text = units.text(unit);
        match part.shape {
            PartShape::Word if wanted.open && at == last => {
                unit.kind == Kind::Word && text.starts_with(&part.text)
            }
            PartShape::Word => unit.kind == Kind::Word && text == part.text,
            PartShape::Piece { glued } => text == part.text && (!glued || is_glued(unit)),
        }
    })
}

/// The bytes of the text to show: around where most of what was looked for stands together.
fn window(text: &str, marks: &[(usize, usize)]) -> (usize, usize) {
    let Some(first) = densest(text, marks) else { return (0, forward(text, 0, SNIPPET_CHARS_MAX)) };
    // The end may leave room: then more is shown before.
    let end = forward(text, back(text, first, LEAD_CHARS), SNIPPET_CHARS_MAX);
    let lead =
        if end == text.len() { back(text, end, SNIPPET_CHARS_MAX) } else { back(text, first, LEAD_CHARS) };
    let lead = lead.min(first);
    (lead, forward(text, lead, SNIPPET_CHARS_MAX))
}

/// The mark from which a window holds the most marks.
fn densest(text: &str, marks: &[(usize, usize)]) -> Option<usize> {
    let mut best: Option<(usize, usize)> = None;
    let mut behind = 0;
    for (at, (start, _)) in marks.iter().enumerate().take(MARKS_MAX) {
        let end = forward(text, *start, SNIPPET_CHARS_MAX - LEAD_CHARS);
        behind = behind.max(at);
        while marks.get(behind).is_some_and(|mark| mark.1 <= end) {
            behind += 1;
        }
        if best.is_none_or(|(most, _)| behind - at > most) {
            best = Some((behind - at, *start));
        }
    }
    best.map(|(_, start)| start)
}

/// So many characters on from a border.
fn forward(text: &str, from: usize, chars: usize) -> usize {
    text[from..].char_indices().nth(chars).map_or(text.len(), |(at, _)| from + at)
}

/// So many characters back from a border.
fn back(text: &str, from: usize, chars: usize) -> usize {
    text[..from].char_indices().rev().take(chars).last().map_or(from, |(at, _)| at)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::words::parse;

    fn shown(text: &str, query: &str) -> String {
        let (snippet, marks) = snippet(text, &parse(query).unwrap());
        let mut out = String::new();
        let mut at = 0;
        for (start, end) in marks {
            out += &format!("{}[{}]", &snippet[at..start], &snippet[start..end]);
            at = end;
        }
        out + &snippet[at..]
    }

    #[test]
    fn marks_are_right_in_mixed_text() {
        assert_eq!(shown("我用iPhone手机拍照", "手机"), "我用iPhone[手机]拍照");
        assert_eq!(shown("我用iPhone手机拍照", "iph"), "我用[iPhone]手机拍照");
        assert_eq!(shown("Crème brûlée 很好吃", "BRULEE 好"), "Crème [brûlée] 很[好]吃");
        assert_eq!(shown("👍🏽好的", "👍"), "[👍🏽]好的");
        assert_eq!(shown("cafe\u{301}!", "café"), "[cafe\u{301}]!");
    }

    #[test]
    fn only_the_phrase_is_marked_not_its_words() {
        assert_eq!(shown("good day, good morning", "\"good morning\""), "good day, [good morning]");
        assert_eq!(shown("北海道 北京", "北京"), "北海道 [北京]");
    }

    #[test]
    fn words_side_by_side_are_one_mark() {
        assert_eq!(shown("看看项目进度吧", "项目进度"), "看看[项目进度]吧");
    }

    #[test]
    fn a_long_text_is_cut_around_the_match() {
        let text = format!("{}找到了needle在这里{}", "草".repeat(500), "木".repeat(500));
        let shown = shown(&text, "needle");
        assert!(shown.starts_with("…草") && shown.ends_with("木…"), "{shown}");
        assert!(shown.contains("找到了[needle]在这里"));
        assert_eq!(shown.chars().filter(|c| !matches!(c, '…' | '[' | ']')).count(), SNIPPET_CHARS_MAX);
    }

    #[test]
    fn a_match_at_the_end_shows_what_is_before() {
        let text = format!("{}needle", "a ".repeat(500));
        let shown = shown(&text, "needle");
        assert!(shown.starts_with('…') && shown.ends_with("[needle]"), "{shown}");
        assert!(shown.chars().count() > SNIPPET_CHARS_MAX);
    }

    #[test]
    fn the_window_is_where_most_words_are() {
        let text = format!("red {} red green blue {}", "x ".repeat(200), "y ".repeat(200));
        assert!(shown(&text, "red green blue ").contains("[red] [green] [blue]"));
    }

    proptest! {
        #[test]
        fn marks_of_any_text_lie_in_the_snippet(
            text in "[a-cé中文国人😀👍🏽\u{301}ﬁ ，]{0,400}",
            query in "[a-cé中文国人😀ﬁ ，\"]{0,20}",
        ) {
            let (snippet, marks) = snippet(&text, &parse(&query).unwrap());
            prop_assert!(snippet.chars().count() <= SNIPPET_CHARS_MAX + 2);
            let mut before = None;
            for (start, end) in marks {
                prop_assert!(snippet.get(start..end).is_some_and(|mark| !mark.is_empty()));
                prop_assert!(before.is_none_or(|before| before < start));
                before = Some(end);
            }
        }
    }
}
