//! Chinese words, as jieba's dictionary has them.

use std::sync::LazyLock;

use jieba_rs::Jieba;

use crate::{
    cut::{Kind, Unit, Units},
    fold::is_han,
};

/// Loaded by [`warm`] or at the first use: about a quarter of a second and some 25 MB.
static JIEBA: LazyLock<Jieba> = LazyLock::new(Jieba::new);

/// Loads the dictionary, which otherwise the first message or query waits for.
pub(crate) fn warm() {
    LazyLock::force(&JIEBA);
}

/// Where a run of Han characters that someone looks for is cut, in characters: the end of each word. Words
/// that the dictionary does not have (names) are guessed.
pub(crate) fn segments(run: &str) -> Vec<usize> {
    JIEBA.cut(run, true).into_iter().map(|word| word.end).collect()
}

/// The words of two or more characters in a text, also those inside longer ones, as first and last unit.
/// Only words of the dictionary: guesses differ from text to text.
pub(crate) fn words(units: &Units, out: &mut Vec<(usize, usize)>) {
    let all = units.all();
    let mut at = 0;
    while at < all.len() {
        let goes_on = |unit: &&Unit| is_han_unit(units, unit) && unit.kind != FIRST && unit.kind != ALONE;
        let run = 1 + all[at + 1..].iter().take_while(goes_on).count();
        if run > 1 && is_han_unit(units, &all[at]) {
            for word in JIEBA.cut_for_search(units.span(&all[at], &all[at + run - 1]), false) {
                if word.end - word.start > 1 {
                    out.push((at + word.start, at + word.end - 1));
                }
            }
        }
        at += run;
    }
}

const FIRST: Kind = Kind::Piece { first: true, last: false };
const ALONE: Kind = Kind::Piece { first: true, last: true };

pub(crate) fn is_han_unit(units: &Units, unit: &Unit) -> bool {
    unit.kind != Kind::Word && units.text(unit).chars().all(is_han)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(text: &str) -> Vec<String> {
        let units = Units::of(text);
        let mut out = vec![];
        words(&units, &mut out);
        out.iter()
            .map(|(first, last)| units.span(&units.all()[*first], &units.all()[*last]).to_owned())
            .collect()
    }

    #[test]
    fn words_are_those_that_are_meant() {
        assert_eq!(found("产品和服务"), ["产品", "服务"]);
        assert_eq!(found("买了一件和服"), ["一件", "和服"]);
        assert!(found("南京市长江大桥").contains(&"长江大桥".to_owned()));
        assert!(!found("南京市长江大桥").contains(&"市长".to_owned()));
    }

    #[test]
    fn words_do_not_reach_over_gaps_or_other_scripts() {
        assert_eq!(found("人，工智能a机b器 学😀习"), ["智能"]);
        assert_eq!(found("hello"), [""; 0]);
    }
}
