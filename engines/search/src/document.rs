//! What goes in.

/// One message, as it is searched.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Document {
    /// The conversation's id.
    pub conversation: String,
    /// The message's number in its conversation; with it the document's identity.
    pub seq: u64,
    /// Who sent it.
    pub sender: String,
    /// When it was sent, in milliseconds since 1970.
    pub at_ms: u64,
    /// What it is, in the caller's words: `text`, `file`.
    pub kind: String,
    /// What is searched; its first [`TEXT_BYTES_MAX`](crate::TEXT_BYTES_MAX) bytes count. It may be empty.
    pub text: String,
}

/// One thing to do to the index.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Change {
    /// Adds a document, or replaces the one with the same conversation and seq. It costs least where a
    /// conversation's seqs come in rising order.
    Put(Document),
    /// Takes out one document; nothing happens if it is not there.
    Remove {
        /// Its conversation.
        conversation: String,
        /// Its seq.
        seq: u64,
    },
    /// Takes out all documents of a conversation.
    RemoveConversation(String),
    /// Takes out all documents of a sender, wherever they are.
    RemoveSender {
        /// Whose.
        sender: String,
    },
    /// Takes out everything, as before building the index anew.
    Clear,
}

impl Change {
    /// About how much memory it takes while it waits.
    pub(crate) fn bytes(&self) -> usize {
        let names = match self {
            Self::Put(put) => put.conversation.len() + put.sender.len() + put.kind.len() + put.text.len(),
            Self::Remove { conversation: name, .. }
            | Self::RemoveConversation(name)
            | Self::RemoveSender { sender: name } => name.len(),
            Self::Clear => 0,
        };
        size_of::<Self>() + names
    }
}
