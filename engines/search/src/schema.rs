//! The index's fields, and how a document becomes one of tantivy's.

use sha2::{Digest, Sha256};
use tantivy::{
    TantivyDocument, Term,
    schema::{
        BytesOptions, FAST, Field, INDEXED, IndexRecordOption, NumericOptions, STORED, Schema,
        TextFieldIndexing, TextOptions,
    },
    tokenizer::{TextAnalyzer, TokenizerManager},
};

use crate::{
    cut::beginning,
    document::Document,
    tokens::{PartTokens, TextTokens, WordTokens},
};

/// The number in the folder's `format` file. Count it up whenever anything here, in `tokens`, `cut` or
/// `fold` changes what is in the index: an index with another number is built again.
pub(crate) const VERSION: u32 = 1;

/// Bytes of a text that are searched and shown; what is beyond them is not found.
pub const TEXT_BYTES_MAX: usize = 32 * 1024;

/// How many seqs of a conversation share one key. One key for each would be the largest part of the
/// dictionary; with so many together it costs next to nothing, and a removal looks at so few documents.
const BUCKET_SEQS: u64 = 64;

pub(crate) const PLACE: &str = "place";
pub(crate) const SEQ: &str = "seq";
pub(crate) const AT: &str = "at";

const TEXT_TOKENS: &str = "yizhan-text";
const PART_TOKENS: &str = "yizhan-parts";
const WORD_TOKENS: &str = "yizhan-words";

/// The fields of a document.
#[derive(Clone)]
pub(crate) struct Fields {
    pub(crate) schema: Schema,
    /// The conversation as a number: see `place`.
    pub(crate) place: Field,
    /// The conversation and the upper bits of the seq, for removing one document.
    pub(crate) bucket: Field,
    pub(crate) seq: Field,
    pub(crate) at: Field,
    /// The sender as a number, made like a place.
    pub(crate) from: Field,
    pub(crate) kind: Field,
    pub(crate) text: Field,
    pub(crate) parts: Field,
    pub(crate) words: Field,
    pub(crate) conversation: Field,
    pub(crate) sender: Field,
}

impl Fields {
    pub(crate) fn new() -> Self {
        let mut schema = Schema::builder();
        let term =
            TextFieldIndexing::default().set_fieldnorms(false).set_index_option(IndexRecordOption::Basic);
        let text = TextFieldIndexing::default()
            .set_tokenizer(TEXT_TOKENS)
            .set_index_option(IndexRecordOption::WithFreqsAndPositions);
        let number = NumericOptions::default().set_indexed();
        // Texts are stored here (in lz4 blocks, about a third of the index) though the journal has them:
        // a snippet is then of the same edit as the match, a page of hits is a few blocks in memory and
        // not a hundred reads elsewhere, and nothing has to be asked of anyone while a search runs.
        Self {
            place: schema.add_u64_field(PLACE, number.clone().set_fast()),
            bucket: schema.add_bytes_field("bucket", BytesOptions::default().set_indexed()),
            seq: schema.add_u64_field(SEQ, FAST),
            at: schema.add_u64_field(AT, FAST),
            from: schema.add_u64_field("from", INDEXED),
            kind: schema.add_text_field(
                "kind",
                TextOptions::default().set_indexing_options(term.clone().set_tokenizer("raw")),
            ),
            text: schema
                .add_text_field("text", TextOptions::default().set_indexing_options(text).set_stored()),
            // `parts` and `words` are given the same text and store nothing.
            parts: schema.add_text_field(
                "parts",
                TextOptions::default().set_indexing_options(term.clone().set_tokenizer(PART_TOKENS)),
            ),
            words: schema.add_text_field(
                "words",
                TextOptions::default().set_indexing_options(term.set_tokenizer(WORD_TOKENS)),
            ),
            conversation: schema.add_text_field("conversation", STORED),
            sender: schema.add_text_field("sender", STORED),
            schema: schema.build(),
        }
    }

    pub(crate) fn tokenizers() -> TokenizerManager {
        let tokenizers = TokenizerManager::default();
        tokenizers.register(TEXT_TOKENS, TextAnalyzer::from(TextTokens::default()));
        tokenizers.register(WORD_TOKENS, TextAnalyzer::from(WordTokens::default()));
        tokenizers.register(PART_TOKENS, TextAnalyzer::from(PartTokens::default()));
        tokenizers
    }

    pub(crate) fn document(&self, document: &Document, place: u64) -> TantivyDocument {
        let text = beginning(&document.text, TEXT_BYTES_MAX);
        let mut out = TantivyDocument::default();
        out.add_u64(self.place, place);
        out.add_bytes(self.bucket, &bucket(place, document.seq));
        out.add_u64(self.seq, document.seq);
        out.add_u64(self.at, document.at_ms);
        out.add_u64(self.from, number(&document.sender));
        out.add_text(self.kind, &document.kind);
        out.add_text(self.text, text);
        out.add_text(self.parts, text);
        out.add_text(self.words, text);
        out.add_text(self.conversation, &document.conversation);
        out.add_text(self.sender, &document.sender);
        out
    }

    pub(crate) fn bucket_term(&self, place: u64, seq: u64) -> Term {
        Term::from_field_bytes(self.bucket, &bucket(place, seq))
    }
}

/// A name as a number: the first eight bytes of its SHA-256, so that nobody can find two names with the
/// same one. A filter compares numbers; what is shown was compared in full.
pub(crate) fn number(name: &str) -> u64 {
    let digest = Sha256::digest(name.as_bytes());
    digest.iter().take(8).fold(0, |number, byte| number << 8 | u64::from(*byte))
}

fn bucket(place: u64, seq: u64) -> [u8; 16] {
    (u128::from(place) << 64 | u128::from(seq / BUCKET_SEQS)).to_be_bytes()
}
