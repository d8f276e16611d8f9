//! ZIP archives, and the documents that are ZIP archives (APPNOTE 4.3).

use super::Looked;
use crate::source::{Source, WINDOW_BYTES};

/// Entries of the directory that are looked at.
const ENTRIES_MAX: usize = 1_000;

/// Bytes from the end in which the end of the directory is looked for: its comment may be long.
const END_BYTES: u64 = WINDOW_BYTES as u64;

/// Names of entries that show what a document is.
const DOCUMENTS: &[(&[u8], &str)] = &[
    (b"word/", "application/vnd.openxmlformats-officedocument.wordprocessingml.document"),
    (b"xl/", "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet"),
    (b"ppt/", "application/vnd.openxmlformats-officedocument.presentationml.presentation"),
    (b"AndroidManifest.xml", "application/vnd.android.package-archive"),
];

/// Types that the first entry may name (OpenDocument 1.2, part 3, 3.3; EPUB 3.3, 4.2.3).
const NAMED: &[&str] = &[
    "application/vnd.oasis.opendocument.text",
    "application/vnd.oasis.opendocument.spreadsheet",
    "application/vnd.oasis.opendocument.presentation",
    "application/epub+zip",
];

pub(super) fn look(source: &mut Source) -> Looked {
    let media_type = named(source).or_else(|| document(source));
    Looked::other(media_type.unwrap_or("application/zip"))
}

/// The content of a first entry called `mimetype`.
fn named(source: &mut Source) -> Option<&'static str> {
    let (name_bytes, extra_bytes) = (source.le16(26)?, source.le16(28)?);
    (source.peek(30, usize::from(name_bytes)) == b"mimetype").then_some(())?;
    let text = source.peek(38 + u64::from(extra_bytes), 64);
    // The longest one that fits: some types begin with others.
    NAMED.iter().copied().filter(|name| text.starts_with(name.as_bytes())).max_by_key(|name| name.len())
}

/// Looks through the names in the directory.
fn document(source: &mut Source) -> Option<&'static str> {
    let begin = source.bytes().saturating_sub(END_BYTES);
    let end = begin + memchr::memmem::rfind(source.peek(begin, END_BYTES as usize), b"PK\x05\x06")? as u64;
    let mut at = u64::from(source.le32(end + 16)?);
    for _ in 0..ENTRIES_MAX {
        (source.array(at)? == *b"PK\x01\x02").then_some(())?;
        let bytes =
            [28, 30, 32].iter().try_fold(0, |sum, field| Some(sum + u64::from(source.le16(at + field)?)))?;
        let name = source.peek(at + 46, 32);
        if let Some((_, media_type)) = DOCUMENTS.iter().find(|(prefix, _)| name.starts_with(prefix)) {
            return Some(media_type);
        }
        at += 46 + bytes;
    }
    None
}
