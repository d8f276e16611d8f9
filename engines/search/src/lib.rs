//! A full-text index of chat messages in one folder, on tantivy. It knows nothing of conversations but
//! their names: who may see what comes with each query.
//!
//! - **In**: [`Index::apply`] takes changes and a word for how far the caller is; both are committed
//!   together, by one writer thread, within half a second. A crash costs nothing: go on after
//!   [`Opened::through`].
//! - **Out**: [`Index::search`] takes a user's plain words. Texts are cut the same way on both sides: words of
//!   letters, and for Chinese and other scripts without spaces single characters and pairs of them, so that
//!   whatever stands in a text is found. Jieba cuts a query's Chinese into words, each of
//!   which must be there; where jieba sees the same words in the text, it fits better.
//!
//! Read in this order: `fold`, `cut` and `han` (a text's units), `tokens` and `schema` (what is in the index),
//! `document`, `query` and `words` (what goes in and what is asked), `access`, `docs` and `matching` (which
//! documents match), `snippet`, `top`, `scan` and `search` (one search), `seen`, `desk` and `writer` (what goes in),
//! `folder` and `index`.

mod access;
mod config;
mod cut;
mod desk;
mod docs;
mod document;
mod error;
mod fold;
mod folder;
mod han;
mod index;
mod matching;
mod query;
mod scan;
mod schema;
mod search;
mod seen;
mod snippet;
mod tokens;
mod top;
mod words;
mod writer;

pub use config::Config;
pub use document::{Change, Document};
pub use error::SearchError;
pub use index::{Figures, Index, Opened};
pub use query::{
    Cursor, Found, HITS_MAX, Hit, Order, QUERY_BYTES_MAX, QUERY_CONVERSATIONS_MAX, QUERY_KINDS_MAX,
    QUERY_WORDS_MAX, Query, TOTAL_MAX,
};
pub use schema::TEXT_BYTES_MAX;

#[cfg(test)]
mod tests {
    mod full_disk;
}
