//! The three token streams of a text, as tantivy wants them.
//!
//! - `text`: words, pairs of neighbouring pieces, and the pieces at the ends of a run, with positions. So a
//!   run of Han characters of any length is found wherever it stands, and phrases may mix scripts.
//! - `parts`: single pieces, and the first one to three letters of words. So one character is found at
//!   once, and a short beginning costs one look-up instead of a walk through thousands of words.
//! - `words`: what jieba takes for words. They find nothing by themselves: a text in which they are words, and
//!   not neighbours by chance, is the better one (和服 in 产品和服务 is no kimono).

use tantivy::tokenizer::{Token, TokenStream, Tokenizer};

use crate::{
    cut::{Kind, Unit, Units},
    han,
};

/// Letters up to which beginnings of words are in the index; longer ones are looked up in its dictionary.
pub(crate) const HEAD_CHARS_MAX: usize = 3;

#[derive(Clone, Default)]
pub(crate) struct TextTokens {
    units: Units,
    token: Token,
}

#[derive(Clone, Default)]
pub(crate) struct PartTokens {
    units: Units,
    token: Token,
}

#[derive(Clone, Default)]
pub(crate) struct WordTokens {
    units: Units,
    words: Vec<(usize, usize)>,
    token: Token,
}

impl Tokenizer for TextTokens {
    type TokenStream<'a> = TextStream<'a>;

    fn token_stream<'a>(&'a mut self, text: &'a str) -> TextStream<'a> {
        self.units.read(text);
        TextStream { units: &self.units, token: &mut self.token, at: 0, single_is_out: false }
    }
}

impl Tokenizer for PartTokens {
    type TokenStream<'a> = PartStream<'a>;

    fn token_stream<'a>(&'a mut self, text: &'a str) -> PartStream<'a> {
        self.units.read(text);
        PartStream { units: &self.units, token: &mut self.token, at: 0, heads: 0 }
    }
}

impl Tokenizer for WordTokens {
    type TokenStream<'a> = WordStream<'a>;

    fn token_stream<'a>(&'a mut self, text: &'a str) -> WordStream<'a> {
        self.units.read(text);
        self.words.clear();
        han::words(&self.units, &mut self.words);
        WordStream { units: &self.units, words: self.words.iter(), token: &mut self.token }
    }
}

pub(crate) struct TextStream<'a> {
    units: &'a Units,
    token: &'a mut Token,
    at: usize,
    /// The piece at `at` was given by itself; its pair is next.
    single_is_out: bool,
}

impl TokenStream for TextStream<'_> {
    fn advance(&mut self) -> bool {
        let all = self.units.all();
        let Some(unit) = all.get(self.at) else { return false };
        let alone = self.units.text(unit);
        let next = all.get(self.at + 1);
        match (unit.kind, next) {
            (Kind::Piece { first: true, last: false }, Some(_)) if !self.single_is_out => {
                set(self.token, alone, self.at);
                self.single_is_out = true;
                return true;
            }
            (Kind::Piece { last: false, .. }, Some(next)) => {
                set(self.token, self.units.span(unit, next), self.at);
            }
            _ => set(self.token, alone, self.at),
        }
        self.single_is_out = false;
        self.at += 1;
        true
    }

    fn token(&self) -> &Token {
        self.token
    }

    fn token_mut(&mut self) -> &mut Token {
        self.token
    }
}

pub(crate) struct PartStream<'a> {
    units: &'a Units,
    token: &'a mut Token,
    at: usize,
    /// Heads of the word at `at` that were given.
    heads: usize,
}

impl TokenStream for PartStream<'_> {
    fn advance(&mut self) -> bool {
        let Some(unit) = self.units.all().get(self.at) else { return false };
        let position = self.at;
        let part = self.part(unit);
        set(self.token, part, position);
        true
    }

    fn token(&self) -> &Token {
        self.token
    }

    fn token_mut(&mut self) -> &mut Token {
        self.token
    }
}

impl<'a> PartStream<'a> {
    /// The next part of `unit`, and one step on.
    fn part(&mut self, unit: &Unit) -> &'a str {
        let text = self.units.text(unit);
        self.heads += 1;
        let end = text.char_indices().nth(self.heads).map(|(end, _)| end);
        let head = &text[..end.unwrap_or(text.len())];
        if end.is_none() || self.heads == HEAD_CHARS_MAX {
            self.at += 1;
            self.heads = 0;
        }
        head
    }
}

pub(crate) struct WordStream<'a> {
    units: &'a Units,
    words: std::slice::Iter<'a, (usize, usize)>,
    token: &'a mut Token,
}

impl TokenStream for WordStream<'_> {
    fn advance(&mut self) -> bool {
        let Some((first, last)) = self.words.next() else { return false };
        let all = self.units.all();
        set(self.token, self.units.span(&all[*first], &all[*last]), *first);
        true
    }

    fn token(&self) -> &Token {
        self.token
    }

    fn token_mut(&mut self) -> &mut Token {
        self.token
    }
}

fn set(token: &mut Token, text: &str, position: usize) {
    token.text.clear();
    token.text.push_str(text);
    token.position = position;
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tokens(mut tokenizer: impl Tokenizer, text: &str) -> String {
        let mut stream = tokenizer.token_stream(text);
        let mut out = vec![];
        stream.process(&mut |token| out.push(format!("{}@{}", token.text, token.position)));
        out.join(" ")
    }

    #[test]
    fn text_has_words_pairs_and_the_ends_of_runs() {
        assert_eq!(tokens(TextTokens::default(), "Hi 北京大 b"), "hi@0 北@1 北京@1 京大@2 大@3 b@4");
        assert_eq!(tokens(TextTokens::default(), "好"), "好@0");
        assert_eq!(tokens(TextTokens::default(), "你好，世界"), "你@0 你好@0 好@1 世@2 世界@2 界@3");
        assert_eq!(tokens(TextTokens::default(), " ,. "), "");
    }

    #[test]
    fn parts_are_single_pieces_and_beginnings() {
        assert_eq!(tokens(PartTokens::default(), "hello 我a"), "h@0 he@0 hel@0 我@1 a@2");
        assert_eq!(tokens(PartTokens::default(), "éa"), "e@0 ea@0");
    }
}
